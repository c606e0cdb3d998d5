    // In main: a subgroup's scores of its own rows and of the rows in its part of the tile.
    #for n in SCORE_MATRICES
    {
      #for b in BLOCKS
      var score_${b} = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>(0f);
      #end
      #for p in SLICES, s in SLICE_STEPS
      {
        let right = subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, col_major>(&tile,
          (role * ROWS + ${n}u * MATRIX_N) * STRIDE + (${p}u * SLICE + ${s}u * MATRIX_K) / 8u, STRIDE);
        #for b in BLOCKS
        score_${b} = subgroupMatrixMultiplyAccumulate(own_${b}_${p}_${s}, right, score_${b});
        #end
      }
      #end
      #for b in BLOCKS
      subgroupMatrixStore<row_major>(&scores, (role_row + ${b}u * M) * SCORE_STRIDE + ${n}u * MATRIX_N / 2u, score_${b},
        SCORE_STRIDE);
      #end
    }
    #end
