    // In main: adds the weights from row `left_row` of the scores' place on, times `turned` from its row `right_row`.
    #for s in ROW_STEPS
    {
      #for b in BLOCKS
      let left_${b} = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&scores,
        (left_row + ${b}u * M) * SCORE_STRIDE + ${s}u * MATRIX_K / 4u, SCORE_STRIDE);
      #end
      #for n in SUM_MATRICES
      {
        let right = subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, col_major>(&turned,
          (right_row + ${n}u * MATRIX_N) * TURNED_STRIDE + ${s}u * MATRIX_K / 2u, TURNED_STRIDE);
        #for b in BLOCKS
        sum_${b}_${n} = subgroupMatrixMultiplyAccumulate(left_${b}, right, sum_${b}_${n});
        #end
      }
      #end
    }
    #end
