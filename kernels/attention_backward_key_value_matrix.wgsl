// Gradient of causal attention for keys and values: the contract of attention_backward_key_value, in f16, on subgroup
// matrices. A subgroup owns MATRIX_M key rows, a workgroup SUBGROUPS times as many of one head, and walks over the
// queries of the heads that share it, ROWS at a time; otherwise laid out as attention_forward_matrix. p and ds are
// rounded to f16 for their products with dout and q. dk and dv are summed in matrices, in f32.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

var<storage, read> qkv: array<CHUNK>;
var<storage, read> logsumexp: array<f32>;
var<storage, read> delta: array<f32>;
var<storage, read> dout: array<CHUNK>;
var<storage, read_write> dqkv: array<f16>;
var<uniform> params: Params;

#include lib/attention_rows.wgsl
#include lib/attention_gradient.wgsl
var<workgroup> k_tile: OwnTile;
var<workgroup> v_tile: OwnTile;
var<workgroup> q_tile: OtherTile;
var<workgroup> dout_tile: OtherTile;
var<workgroup> p_tile: array<f16, OWN * SCORE_STRIDE>;
var<workgroup> ds_tile: array<f16, OWN * SCORE_STRIDE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let T = params.T;
  let H = params.H;
  let kv_head = workgroup.y;
  let group = H / params.KV;
  let batch = workgroup.z;
  let first = workgroup.x * OWN;
  let tile_row = subgroup * M;
  let row = tile_row + lane % M;
  let part = lane / M;
  let j = first + row;
  stage_keys(thread, batch, kv_head, first, OWN);
  #for n in WIDTH_MATRICES
  var dk_${n}: subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;
  var dv_${n}: subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;
  #end
  for (var head = kv_head * group; head < (kv_head + 1u) * group; head++) {
    let statistics = (batch * H + head) * T;
    // queries before this workgroup's first key see none of its keys
    for (var t0 = first; t0 < T; t0 += ROWS) {
      stage_queries(thread, batch, head, t0, ROWS);
      workgroupBarrier();
      make_scores(tile_row, &k_tile, &q_tile, &v_tile, &dout_tile);
      workgroupBarrier();
      for (var i = part; i < ROWS; i += PARTS) {
        let at = row * SCORE_STRIDE + i;
        let t = t0 + i;
        let statistic = statistics + min(t, T - 1u);
        let visible = j <= t && t < T;
        let p = select(0f, exp(select(0f, scores[at] * params.scale - logsumexp[statistic], visible)), visible);
        p_tile[at] = f16(p);
        ds_tile[at] = f16(p * (products[at] - delta[statistic]));
      }
      workgroupBarrier();
      #for s in ROW_STEPS
      {
        let p = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&p_tile,
          tile_row * SCORE_STRIDE + ${s}u * MATRIX_K, SCORE_STRIDE);
        let ds = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&ds_tile,
          tile_row * SCORE_STRIDE + ${s}u * MATRIX_K, SCORE_STRIDE);
        #for n in WIDTH_MATRICES
        dv_${n} = subgroupMatrixMultiplyAccumulate(p,
          subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, row_major>(&dout_tile,
            ${s}u * MATRIX_K * STRIDE + ${n}u * MATRIX_N / VECTOR, STRIDE),
          dv_${n});
        dk_${n} = subgroupMatrixMultiplyAccumulate(ds,
          subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, row_major>(&q_tile,
            ${s}u * MATRIX_K * STRIDE + ${n}u * MATRIX_N / VECTOR, STRIDE),
          dk_${n});
        #end
      }
      #end
      workgroupBarrier();
    }
  }
  let dk_row = (batch * T + j) * row_stride() + (H + kv_head) * D;
  let dv_row = dk_row + params.KV * D;
  #for n in WIDTH_MATRICES
  subgroupMatrixStore<row_major>(&sums, tile_row * MATRIX_N, dk_${n}, MATRIX_N);
  write_sums(row, part, ${n}u * MATRIX_N, j < T, dk_row, params.scale);
  subgroupMatrixStore<row_major>(&sums, tile_row * MATRIX_N, dv_${n}, MATRIX_N);
  write_sums(row, part, ${n}u * MATRIX_N, j < T, dv_row, 1f);
  #end
}
