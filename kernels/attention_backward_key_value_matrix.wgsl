// Gradient of causal attention for keys and values: the contract of attention_backward_key_value, in f16, on subgroup
// matrices. A subgroup owns MATRIX_M key rows, or SHARE of them own the same: heads too wide for the registers of
// one. A workgroup owns those of SUBGROUPS and walks over the queries of the heads that share its keys, ROWS at a time;
// otherwise laid out as attention_forward_matrix. p and ds are rounded to f16 for their products with dout and q. dk
// and dv are summed in matrices, in f32.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

var<storage, read> qkv: array<CHUNK>;
var<storage, read> logsumexp: array<f32>;
var<storage, read> delta: array<f32>;
var<storage, read> dout: array<CHUNK>;
var<storage, read_write> dqkv: array<OUT_CHUNK>;
var<uniform> params: Params;

#include lib/attention_rows.wgsl
#include lib/attention_gradient.wgsl
var<workgroup> logsumexp_tile: array<vec4f, ROWS / 4u>;
var<workgroup> delta_tile: array<vec4f, ROWS / 4u>;
var<workgroup> p_tile: array<vec4<f16>, OWN * WEIGHT_STRIDE>;
var<workgroup> ds_tile: array<vec4<f16>, OWN * WEIGHT_STRIDE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let T = params.T;
  let H = params.H;
  let kv_head = workgroup.y;
  let group = H / params.KV;
  let batch = workgroup.z;
  let first = workgroup.x * OWN;
  let share = subgroup % SHARE;
  let tile_row = subgroup / SHARE * M;
  let row = tile_row + lane % M;
  let part = lane / M;
  let j = first + row;
  #for s in WIDTH_STEPS
  var first_${s}: subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>;
  var second_${s}: subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>;
  #end
  #for p in OWN_PARTS
  stage(thread, batch, (H + kv_head) * D, first + ${p}u * TILE_ROWS, OWN_ROWS, 0u);
  workgroupBarrier();
  if (tile_row / TILE_ROWS == ${p}u) {
    #for s in WIDTH_STEPS
    first_${s} = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&tile,
      tile_row % TILE_ROWS * STRIDE + ${s}u * MATRIX_K / VECTOR, STRIDE);
    #end
  }
  workgroupBarrier();
  #end
  #for p in OWN_PARTS
  stage(thread, batch, (H + params.KV + kv_head) * D, first + ${p}u * TILE_ROWS, OWN_ROWS, 0u);
  workgroupBarrier();
  if (tile_row / TILE_ROWS == ${p}u) {
    #for s in WIDTH_STEPS
    second_${s} = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&tile,
      tile_row % TILE_ROWS * STRIDE + ${s}u * MATRIX_K / VECTOR, STRIDE);
    #end
  }
  workgroupBarrier();
  #end
  #for n in SUM_MATRICES
  var dk_${n}: subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;
  var dv_${n}: subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;
  #end
  for (var head = kv_head * group; head < (kv_head + 1u) * group; head++) {
    let statistics = (batch * H + head) * T;
    // queries before this workgroup's first key see none of its keys
    for (var t0 = first; t0 < T; t0 += ROWS) {
      stage(thread, batch, head * D, t0, ROWS, 0u);
      stage_dout(thread, batch, head, t0, ROWS, ROWS);
      for (var i = thread; i < ROWS / 4u; i += THREADS) {
        let at = statistics + min(vec4u(t0 + 4u * i) + vec4u(0u, 1u, 2u, 3u), vec4u(T - 1u));
        logsumexp_tile[i] = vec4f(logsumexp[at.x], logsumexp[at.y], logsumexp[at.z], logsumexp[at.w]);
        delta_tile[i] = vec4f(delta[at.x], delta[at.y], delta[at.z], delta[at.w]);
      }
      workgroupBarrier();
#include lib/attention_scores.wgsl
      workgroupBarrier();
      #for c in SCORE_FOURS
      {
        let column = (share * LANES_A_ROW + part) * SCORE_FOURS + ${c}u;
        let at = row * SCORE_STRIDE + column;
        let t = vec4u(t0 + 4u * column) + vec4u(0u, 1u, 2u, 3u);
        let is_seen = (vec4u(j) <= t) & (t < vec4u(T));
        let p = weights(scores[at], logsumexp_tile[column], is_seen);
        p_tile[row * WEIGHT_STRIDE + column] = vec4<f16>(p);
        ds_tile[row * WEIGHT_STRIDE + column] = vec4<f16>(p * (products[at] - delta_tile[column]));
      }
      #end
      workgroupBarrier();
      #for s in ROW_STEPS
      {
        let p = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&p_tile,
          tile_row * WEIGHT_STRIDE + ${s}u * MATRIX_K / 4u, WEIGHT_STRIDE);
        let ds = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&ds_tile,
          tile_row * WEIGHT_STRIDE + ${s}u * MATRIX_K / 4u, WEIGHT_STRIDE);
        #for n in SUM_MATRICES
        dv_${n} = subgroupMatrixMultiplyAccumulate(p,
          subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, row_major>(&tile,
            (ROWS + ${s}u * MATRIX_K) * STRIDE + (share * SUM_MATRICES + ${n}u) * MATRIX_N / VECTOR, STRIDE),
          dv_${n});
        dk_${n} = subgroupMatrixMultiplyAccumulate(ds,
          subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, row_major>(&tile,
            ${s}u * MATRIX_K * STRIDE + (share * SUM_MATRICES + ${n}u) * MATRIX_N / VECTOR, STRIDE),
          dk_${n});
        #end
      }
      #end
      workgroupBarrier();
    }
  }
  let dk_row = (batch * T + j) * row_stride() + (H + kv_head) * D;
  let dv_row = dk_row + params.KV * D;
  let own = share * MATRIX_N / 4u; // subgroups that share rows have places of their own in the scores'
  #for n in SUM_MATRICES
  {
    let column = (share * SUM_MATRICES + ${n}u) * MATRIX_N;
    subgroupMatrixStore<row_major>(&scores, tile_row * SCORE_STRIDE + own, dk_${n}, SCORE_STRIDE);
    write_sums(row, part, own, column, j < T, dk_row, params.scale);
    subgroupMatrixStore<row_major>(&scores, tile_row * SCORE_STRIDE + own, dv_${n}, SCORE_STRIDE);
    write_sums(row, part, own, column, j < T, dv_row, 1f);
  }
  #end
}
