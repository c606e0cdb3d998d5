    // In main: a part of a subgroup's scores = q · k and products = dout · v; its own rows are first_* and second_*.
    #for n in SCORE_MATRICES
    {
      let column = (share * SCORE_MATRICES + ${n}u) * MATRIX_N;
      var score = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>(0f);
      var product = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>(0f);
      #for s in WIDTH_STEPS
      score = subgroupMatrixMultiplyAccumulate(first_${s},
        subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, col_major>(&tile,
          column * STRIDE + ${s}u * MATRIX_K / VECTOR, STRIDE),
        score);
      product = subgroupMatrixMultiplyAccumulate(second_${s},
        subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, col_major>(&tile,
          (ROWS + column) * STRIDE + ${s}u * MATRIX_K / VECTOR, STRIDE),
        product);
      #end
      subgroupMatrixStore<row_major>(&scores, tile_row * SCORE_STRIDE + column / 4u, score, SCORE_STRIDE);
      subgroupMatrixStore<row_major>(&products, tile_row * SCORE_STRIDE + column / 4u, product, SCORE_STRIDE);
    }
    #end
