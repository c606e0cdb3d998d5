  // In main: loads own rows, of the role's rows in the scores' place. stage_own puts slice number p there.
  #for p in SLICES
  stage_own(thread, batch, head, first, ${p}u);
  workgroupBarrier();
  #for b in BLOCKS, s in SLICE_STEPS
  let own_${b}_${p}_${s} = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&scores,
    (role_row + ${b}u * M) * SCORE_STRIDE + ${s}u * MATRIX_K / 4u, SCORE_STRIDE);
  #end
  workgroupBarrier();
  #end
  #for b in BLOCKS, n in SUM_MATRICES
  var sum_${b}_${n}: subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;
  #end
