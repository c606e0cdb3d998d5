// Gradient of causal attention for the queries, and delta: the contract of attention_backward_query, in f16, on
// subgroup matrices, laid out as attention_forward_matrix. Scores and dout · v leave through workgroup memory; ds is
// rounded to f16 for its product with k. dq is summed in matrices, in f32.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

var<storage, read> qkv: array<CHUNK>;
var<storage, read> out: array<f16>;
var<storage, read> logsumexp: array<f32>;
var<storage, read> dout: array<CHUNK>;
var<storage, read_write> dqkv: array<f16>;
var<storage, read_write> delta: array<f32>;
var<uniform> params: Params;

#include lib/attention_rows.wgsl
#include lib/attention_gradient.wgsl
var<workgroup> q_tile: OwnTile;
var<workgroup> dout_tile: OwnTile;
var<workgroup> k_tile: OtherTile;
var<workgroup> v_tile: OtherTile;
var<workgroup> ds_tile: array<f16, OWN * SCORE_STRIDE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let T = params.T;
  let H = params.H;
  let head = workgroup.y;
  let batch = workgroup.z;
  let kv_head = head / (H / params.KV);
  let first = workgroup.x * OWN;
  let tile_row = subgroup * M;
  let row = tile_row + lane % M;
  let part = lane / M;
  let t = first + row;
  let statistic = (batch * H + head) * T + min(t, T - 1u);
  stage_queries(thread, batch, head, first, OWN);
  let out_row = ((batch * T + min(t, T - 1u)) * H + head) * D;
  var dot = 0f;
  for (var d = part; d < D; d += PARTS) { dot = fma(dout_element(out_row + d), f32(out[out_row + d]), dot); }
  let delta_row = row_sum(dot);
  if (part == 0u && t < T) { delta[statistic] = delta_row; }
  let logsumexp_row = logsumexp[statistic];
  #for n in WIDTH_MATRICES
  var dq_${n}: subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;
  #end
  let keys = min(first + OWN, T);
  for (var j0 = 0u; j0 < keys; j0 += ROWS) {
    stage_keys(thread, batch, kv_head, j0, ROWS);
    workgroupBarrier();
    make_scores(tile_row, &q_tile, &k_tile, &dout_tile, &v_tile);
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
      let ds = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&ds_tile,
        tile_row * SCORE_STRIDE + ${s}u * MATRIX_K, SCORE_STRIDE);
      #for n in WIDTH_MATRICES
      dq_${n} = subgroupMatrixMultiplyAccumulate(ds,
        subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, row_major>(&k_tile,
          ${s}u * MATRIX_K * STRIDE + ${n}u * MATRIX_N / VECTOR, STRIDE),
        dq_${n});
      #end
    }
    #end
    workgroupBarrier();
  }
  let dq_row = (batch * T + t) * row_stride() + head * D;
  #for n in WIDTH_MATRICES
  subgroupMatrixStore<row_major>(&sums, tile_row * MATRIX_N, dq_${n}, MATRIX_N);
  write_sums(row, part, ${n}u * MATRIX_N, t < T, dq_row, params.scale);
  #end
}
