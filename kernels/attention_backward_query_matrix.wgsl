// Gradient of causal attention for the queries, and delta: the contract of attention_backward_query, in f16, on subgroup
// matrices, laid out as attention_forward_matrix. Scores and dout · v leave through workgroup memory; ds is rounded to f16
// for its product with k. dq is summed in matrices, in f32.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

@group(0) @binding(0) var<storage, read> qkv: array<${CHUNK}>;
@group(0) @binding(1) var<storage, read> out: array<f16>;
@group(0) @binding(2) var<storage, read> logsumexp: array<f32>;
@group(0) @binding(3) var<storage, read> dout: array<${CHUNK}>;
@group(0) @binding(4) var<storage, read_write> dqkv: array<f16>;
@group(0) @binding(5) var<storage, read_write> delta: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

${LIB_ATTENTION_ROWS}
var<workgroup> q_tile: array<${CHUNK}, OWN * STRIDE>;
var<workgroup> dout_tile: array<${CHUNK}, OWN * STRIDE>;
var<workgroup> k_tile: array<${CHUNK}, ROWS * STRIDE>;
var<workgroup> v_tile: array<${CHUNK}, ROWS * STRIDE>;
var<workgroup> scores: array<f32, OWN * SCORE_STRIDE>;
var<workgroup> products: array<f32, OWN * SCORE_STRIDE>;
var<workgroup> ds_tile: array<f16, OWN * SCORE_STRIDE>;
var<workgroup> sums: array<f32, OWN * ${MATRIX_N}u>;

${LIB_ATTENTION_DOUT}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let T = params.T;
  let H = params.H;
  let head = workgroup.y;
  let batch = workgroup.z;
  let stride = (H + 2u * params.KV) * D;
  let first = workgroup.x * OWN;
  let start = batch * T * stride;
  let k_head = (H + head / (H / params.KV)) * D;
  let v_head = k_head + params.KV * D;
  let tile_row = subgroup * M;
  let row = tile_row + lane % M;
  let part = lane / M;
  let t = first + row;
  let statistic = (batch * H + head) * T + min(t, T - 1u);
  for (var i = thread; i < OWN * CHUNKS; i += THREADS) {
    let at = i / CHUNKS * STRIDE + i % CHUNKS;
    q_tile[at] = load(start, first + i / CHUNKS, stride, head * D, i % CHUNKS, T);
    dout_tile[at] = load_dout(batch, first + i / CHUNKS, head, i % CHUNKS);
  }
  let out_row = ((batch * T + min(t, T - 1u)) * H + head) * D;
  var dot = 0f;
  for (var d = part; d < D; d += PARTS) { dot = fma(dout_element(out_row + d), f32(out[out_row + d]), dot); }
  let delta_row = row_sum(dot);
  if (part == 0u && t < T) { delta[statistic] = delta_row; }
  let logsumexp_row = logsumexp[statistic];
  #for n in WIDTH_MATRICES
  var dq_${n}: subgroup_matrix_result<f32, ${MATRIX_N}, ${MATRIX_M}>;
  #end
  let keys = min(first + OWN, T);
  for (var j0 = 0u; j0 < keys; j0 += ROWS) {
    for (var i = thread; i < ROWS * CHUNKS; i += THREADS) {
      let at = i / CHUNKS * STRIDE + i % CHUNKS;
      k_tile[at] = load(start, j0 + i / CHUNKS, stride, k_head, i % CHUNKS, T);
      v_tile[at] = load(start, j0 + i / CHUNKS, stride, v_head, i % CHUNKS, T);
    }
    workgroupBarrier();
    #for n in ROW_MATRICES
    {
      var score = subgroup_matrix_result<f32, ${MATRIX_N}, ${MATRIX_M}>(0f);
      var product = subgroup_matrix_result<f32, ${MATRIX_N}, ${MATRIX_M}>(0f);
      #for s in WIDTH_STEPS
      score = subgroupMatrixMultiplyAccumulate(
        subgroupMatrixLoad<subgroup_matrix_left<f16, ${MATRIX_K}, ${MATRIX_M}>, row_major>(&q_tile,
          tile_row * STRIDE + ${s}u * ${MATRIX_K}u / ${VECTOR}u, STRIDE),
        subgroupMatrixLoad<subgroup_matrix_right<f16, ${MATRIX_N}, ${MATRIX_K}>, col_major>(&k_tile,
          ${n}u * ${MATRIX_N}u * STRIDE + ${s}u * ${MATRIX_K}u / ${VECTOR}u, STRIDE),
        score);
      product = subgroupMatrixMultiplyAccumulate(
        subgroupMatrixLoad<subgroup_matrix_left<f16, ${MATRIX_K}, ${MATRIX_M}>, row_major>(&dout_tile,
          tile_row * STRIDE + ${s}u * ${MATRIX_K}u / ${VECTOR}u, STRIDE),
        subgroupMatrixLoad<subgroup_matrix_right<f16, ${MATRIX_N}, ${MATRIX_K}>, col_major>(&v_tile,
          ${n}u * ${MATRIX_N}u * STRIDE + ${s}u * ${MATRIX_K}u / ${VECTOR}u, STRIDE),
        product);
      #end
      subgroupMatrixStore<row_major>(&scores, tile_row * SCORE_STRIDE + ${n}u * ${MATRIX_N}u, score, SCORE_STRIDE);
      subgroupMatrixStore<row_major>(&products, tile_row * SCORE_STRIDE + ${n}u * ${MATRIX_N}u, product, SCORE_STRIDE);
    }
    #end
    workgroupBarrier();
    for (var j = part; j < ROWS; j += PARTS) {
      let at = row * SCORE_STRIDE + j;
      let visible = j0 + j <= t && t < T;
      let p = select(0f, exp(select(0f, scores[at] * params.scale - logsumexp_row, visible)), visible);
      ds_tile[at] = f16(p * (products[at] - delta_row));
    }
    workgroupBarrier();
    #for s in ROW_STEPS
    {
      let ds = subgroupMatrixLoad<subgroup_matrix_left<f16, ${MATRIX_K}, ${MATRIX_M}>, row_major>(&ds_tile,
        tile_row * SCORE_STRIDE + ${s}u * ${MATRIX_K}u, SCORE_STRIDE);
      #for n in WIDTH_MATRICES
      dq_${n} = subgroupMatrixMultiplyAccumulate(ds,
        subgroupMatrixLoad<subgroup_matrix_right<f16, ${MATRIX_N}, ${MATRIX_K}>, row_major>(&k_tile,
          ${s}u * ${MATRIX_K}u * STRIDE + ${n}u * ${MATRIX_N}u / ${VECTOR}u, STRIDE),
        dq_${n});
      #end
    }
    #end
    workgroupBarrier();
  }
  let dq_row = start + t * stride + head * D;
  #for n in WIDTH_MATRICES
  subgroupMatrixStore<row_major>(&sums, tile_row * ${MATRIX_N}u, dq_${n}, ${MATRIX_N}u);
  workgroupBarrier();
  for (var c = part; c < ${MATRIX_N}u; c += PARTS) {
    let d = ${n}u * ${MATRIX_N}u + c;
    if (t < T && d < D) { dqkv[dq_row + d] = f16(sums[row * ${MATRIX_N}u + c] * params.scale); }
  }
  workgroupBarrier();
  #end
}
