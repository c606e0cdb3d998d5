// Causal attention: the contract of attention_forward, in f16, on subgroup matrices (tensor cores) of
// MATRIX_M x MATRIX_N x MATRIX_K with f16 operands and f32 sums.
// A subgroup of LANES lanes owns MATRIX_M query rows, a workgroup SUBGROUPS times as many of one head, and walks over
// the keys, ROWS at a time. q, k and v are staged in workgroup memory in chunks of VECTOR halves, rows padded to WIDTH
// >= D with zeros and by PAD against bank conflicts. Scores leave the matrices through workgroup memory, since these
// have no elements that WGSL could reach; LANES / MATRIX_M lanes share a row's softmax. Weights are rounded to f16 for
// their product with v;
// out is summed in f32 in workgroup memory, where it is rescaled when the running maximum changes.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

var<storage, read> qkv: array<CHUNK>;
var<storage, read_write> out: array<f16>;
var<storage, read_write> logsumexp: array<f32>;
var<uniform> params: Params;

#include lib/attention_rows.wgsl
const OUT_STRIDE = WIDTH + PAD;
const MASKED = -1e30f;
var<workgroup> q_tile: OwnTile;
var<workgroup> k_tile: OtherTile;
var<workgroup> v_tile: OtherTile;
var<workgroup> scores: array<f32, OWN * SCORE_STRIDE>;
var<workgroup> weights: array<f16, OWN * SCORE_STRIDE>;
var<workgroup> sums: array<f32, OWN * OUT_STRIDE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let T = params.T;
  let head = workgroup.y;
  let batch = workgroup.z;
  let kv_head = head / (params.H / params.KV);
  let first = workgroup.x * OWN;
  let tile_row = subgroup * M;
  // a row of this lane, and which of the lanes of the row it is
  let row = tile_row + lane % M;
  let part = lane / M;
  let t = first + row;
  var largest = MASKED;
  var sum = 0f;
  for (var i = thread; i < OWN * CHUNKS; i += THREADS) {
    q_tile[i / CHUNKS * STRIDE + i % CHUNKS] = load(batch, first + i / CHUNKS, head * D, i % CHUNKS);
  }
  for (var i = thread; i < OWN * OUT_STRIDE; i += THREADS) { sums[i] = 0f; }
  let keys = min(first + OWN, T); // no row of this workgroup sees further
  for (var j0 = 0u; j0 < keys; j0 += ROWS) {
    stage_keys(thread, batch, kv_head, j0, ROWS);
    workgroupBarrier();
    #for n in ROW_MATRICES
    {
      var score = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>(0f);
      #for s in WIDTH_STEPS
      score = subgroupMatrixMultiplyAccumulate(
        subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&q_tile,
          tile_row * STRIDE + ${s}u * MATRIX_K / VECTOR, STRIDE),
        subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, col_major>(&k_tile,
          ${n}u * MATRIX_N * STRIDE + ${s}u * MATRIX_K / VECTOR, STRIDE),
        score);
      #end
      subgroupMatrixStore<row_major>(&scores, tile_row * SCORE_STRIDE + ${n}u * MATRIX_N, score, SCORE_STRIDE);
    }
    #end
    workgroupBarrier();
    var largest_now = largest;
    for (var j = part; j < ROWS; j += PARTS) {
      let score = scores[row * SCORE_STRIDE + j] * params.scale;
      largest_now = max(largest_now, select(MASKED, score, j0 + j <= t));
    }
    largest_now = row_max(largest_now);
    let correction = exp(largest - largest_now);
    largest = largest_now;
    var added = 0f;
    for (var j = part; j < ROWS; j += PARTS) {
      let score = scores[row * SCORE_STRIDE + j] * params.scale;
      let weight = select(0f, exp(select(0f, score - largest, j0 + j <= t)), j0 + j <= t);
      added += weight;
      weights[row * SCORE_STRIDE + j] = f16(weight);
    }
    sum = sum * correction + row_sum(added);
    for (var d = part; d < WIDTH; d += PARTS) { sums[row * OUT_STRIDE + d] *= correction; }
    workgroupBarrier();
    #for n in WIDTH_MATRICES
    {
      var partial = subgroupMatrixLoad<subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>, row_major>(&sums,
        tile_row * OUT_STRIDE + ${n}u * MATRIX_N, OUT_STRIDE);
      #for s in ROW_STEPS
      partial = subgroupMatrixMultiplyAccumulate(
        subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&weights,
          tile_row * SCORE_STRIDE + ${s}u * MATRIX_K, SCORE_STRIDE),
        subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, row_major>(&v_tile,
          ${s}u * MATRIX_K * STRIDE + ${n}u * MATRIX_N / VECTOR, STRIDE),
        partial);
      #end
      subgroupMatrixStore<row_major>(&sums, tile_row * OUT_STRIDE + ${n}u * MATRIX_N, partial, OUT_STRIDE);
    }
    #end
    workgroupBarrier();
  }
  if (t < T) {
    let out_row = ((batch * T + t) * params.H + head) * D;
    for (var d = part; d < D; d += PARTS) { out[out_row + d] = f16(sums[row * OUT_STRIDE + d] / sum); }
    if (part == 0u) { logsumexp[(batch * params.H + head) * T + t] = largest + log(sum); }
  }
}
