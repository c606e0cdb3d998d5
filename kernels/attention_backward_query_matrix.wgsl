// Gradient of causal attention for the queries, and delta: the contract of attention_backward_query, in f16, on
// subgroup matrices, laid out as attention_forward_matrix. Scores and dout · v leave through workgroup memory; ds is
// rounded to f16 for its product with k. dq is summed in matrices, in f32.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

var<storage, read> qkv: array<CHUNK>;
var<storage, read> out: array<CHUNK>;
var<storage, read> logsumexp: array<f32>;
var<storage, read> dout: array<CHUNK>;
var<storage, read_write> dqkv: array<OUT_CHUNK>;
var<storage, read_write> delta: array<f32>;
var<uniform> params: Params;

#include lib/attention_rows.wgsl
#include lib/attention_gradient.wgsl
var<workgroup> ds_tile: array<vec4<f16>, OWN * WEIGHT_STRIDE>;

fn dot_chunk(a: CHUNK, b: CHUNK) -> f32 {
#if ${IS_WORDS}
  var sum = 0f;
  #for e in 4
  sum += dot(unpack2x16float(a[${e}]), unpack2x16float(b[${e}]));
  #end
  return sum;
#elif ${IS_VECTOR}
  return dot(vec4f(a), vec4f(b));
#else
  return f32(a) * f32(b);
#endif
}

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
  let share = 0u;
  let row = tile_row + lane % M;
  let part = lane / M;
  let t = first + row;
  let statistic = (batch * H + head) * T + min(t, T - 1u);
  let out_row = ((batch * T + min(t, T - 1u)) * H + head) * D / VECTOR;
  var dot = 0f;
  for (var c = part; c < D / VECTOR; c += PARTS) { dot += dot_chunk(dout[out_row + c], out[out_row + c]); }
  let delta_row = row_sum(dot);
  if (part == 0u && t < T) { delta[statistic] = delta_row; }
  let logsumexp_row = logsumexp[statistic];
  #for s in WIDTH_STEPS
  var first_${s}: subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>;
  var second_${s}: subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>;
  #end
  #for p in OWN_PARTS
  stage(thread, batch, head * D, first + ${p}u * TILE_ROWS, OWN_ROWS, 0u);
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
  stage_dout(thread, batch, head, first + ${p}u * TILE_ROWS, OWN_ROWS, 0u);
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
  var dq_${n}: subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;
  #end
  let keys = min(first + OWN, T);
  for (var j0 = 0u; j0 < keys; j0 += ROWS) {
    stage_keys(thread, batch, kv_head, j0);
    workgroupBarrier();
#include lib/attention_scores.wgsl
    workgroupBarrier();
    #for c in SCORE_FOURS
    {
      let column = part * SCORE_FOURS + ${c}u;
      let at = row * SCORE_STRIDE + column;
      let is_seen = vec4u(j0 + 4u * column) + vec4u(0u, 1u, 2u, 3u) <= vec4u(select(0u, t, t < T));
      let p = weights(scores[at], vec4f(logsumexp_row), is_seen);
      ds_tile[row * WEIGHT_STRIDE + column] = vec4<f16>(p * (products[at] - delta_row));
    }
    #end
    workgroupBarrier();
    #for s in ROW_STEPS
    {
      let ds = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&ds_tile,
        tile_row * WEIGHT_STRIDE + ${s}u * MATRIX_K / 4u, WEIGHT_STRIDE);
      #for n in SUM_MATRICES
      dq_${n} = subgroupMatrixMultiplyAccumulate(ds,
        subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, row_major>(&tile,
          ${s}u * MATRIX_K * STRIDE + ${n}u * MATRIX_N / VECTOR, STRIDE),
        dq_${n});
      #end
    }
    #end
    workgroupBarrier();
  }
  let dq_row = (batch * T + t) * row_stride() + head * D;
  #for n in SUM_MATRICES
  subgroupMatrixStore<row_major>(&scores, tile_row * SCORE_STRIDE, dq_${n}, SCORE_STRIDE);
  write_sums(row, part, 0u, ${n}u * MATRIX_N, t < T, dq_row, params.scale);
  #end
}
