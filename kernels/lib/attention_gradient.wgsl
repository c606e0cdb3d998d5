// What the two passes of the gradient on subgroup matrices share: one owns queries and takes keys, the other owns keys
// and takes queries. A query is staged with its row of dout, in dout_tile, and a key with its value.
var<workgroup> scores: array<f32, OWN * SCORE_STRIDE>;
var<workgroup> products: array<f32, OWN * SCORE_STRIDE>;
var<workgroup> sums: array<f32, OWN * MATRIX_N>;

// A chunk of a head's row of dout [B, T, H, D], zeros beyond T and D; and one element of it.
fn load_dout(batch: u32, row: u32, head: u32, chunk: u32) -> CHUNK {
  if (row >= params.T || chunk * VECTOR >= D) { return CHUNK(); }
  return dout[((batch * params.T + row) * params.H + head) * D / VECTOR + chunk];
}

fn dout_element(at: u32) -> f32 {
#if ${IS_VECTOR}
  return f32(dout[at / VECTOR][at % VECTOR]);
#else
  return f32(dout[at]);
#endif
}

// Stages `rows` queries of a head and their rows of dout, from row `first` on.
fn stage_queries(thread: u32, batch: u32, head: u32, first: u32, rows: u32) {
  for (var i = thread; i < rows * CHUNKS; i += THREADS) {
    let at = i / CHUNKS * STRIDE + i % CHUNKS;
    q_tile[at] = load(batch, first + i / CHUNKS, head * D, i % CHUNKS);
    dout_tile[at] = load_dout(batch, first + i / CHUNKS, head, i % CHUNKS);
  }
}

// A subgroup's rows of scores = q · k and products = dout · v: its own q and dout with others' k and v, or the other
// way.
fn make_scores(tile_row: u32, own_qk: ptr<workgroup, OwnTile>, other_qk: ptr<workgroup, OtherTile>,
               own_dout_v: ptr<workgroup, OwnTile>, other_dout_v: ptr<workgroup, OtherTile>) {
  #for n in ROW_MATRICES
  {
    var score = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>(0f);
    var product = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>(0f);
    #for s in WIDTH_STEPS
    score = subgroupMatrixMultiplyAccumulate(
      subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(own_qk,
        tile_row * STRIDE + ${s}u * MATRIX_K / VECTOR, STRIDE),
      subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, col_major>(other_qk,
        ${n}u * MATRIX_N * STRIDE + ${s}u * MATRIX_K / VECTOR, STRIDE),
      score);
    product = subgroupMatrixMultiplyAccumulate(
      subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(own_dout_v,
        tile_row * STRIDE + ${s}u * MATRIX_K / VECTOR, STRIDE),
      subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, col_major>(other_dout_v,
        ${n}u * MATRIX_N * STRIDE + ${s}u * MATRIX_K / VECTOR, STRIDE),
      product);
    #end
    subgroupMatrixStore<row_major>(&scores, tile_row * SCORE_STRIDE + ${n}u * MATRIX_N, score, SCORE_STRIDE);
    subgroupMatrixStore<row_major>(&products, tile_row * SCORE_STRIDE + ${n}u * MATRIX_N, product, SCORE_STRIDE);
  }
  #end
}

// Writes a row's MATRIX_N elements of `sums` to dqkv, `first` the number of the first of them in the head, whose row
// begins at `head_row`. Between barriers, for a matrix is stored to `sums` before and after.
fn write_sums(row: u32, part: u32, first: u32, is_inside: bool, head_row: u32, scale: f32) {
  workgroupBarrier();
  for (var c = part; c < MATRIX_N; c += PARTS) {
    let d = first + c;
    if (is_inside && d < D) { dqkv[head_row + d] = f16(sums[row * MATRIX_N + c] * scale); }
  }
  workgroupBarrier();
}
