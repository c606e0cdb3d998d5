// Gradient of causal attention for the queries, and delta: the contract of attention_backward_query, in f16, on
// subgroup matrices, laid out as lib/attention_rows.wgsl says. Scores and dout · v leave through workgroup memory; ds
// is rounded to f16 for its product with k. dq is summed in matrices, in f32; of the two subgroups that own the same
// rows each has half of its columns. IS_CAPPED, scores and slopes are made in f32 (lib/soft_cap.wgsl).
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
#if ${BEGINS}
#include lib/attention_begins.wgsl
#endif
#if ${IS_CAPPED}
#include lib/soft_cap.wgsl
#endif

fn stage_own(thread: u32, batch: u32, head: u32, first: u32, slice: u32) {
  for (var i = thread; i < OWN * SLICE / 8u; i += THREADS) {
    let row = i / (SLICE / 8u);
    let eight = i % (SLICE / 8u);
    let piece = slice * SLICE / 8u + eight;
    put_own(row, eight, load(&qkv, row_of(batch, first + row, head * D), piece));
    put_own(OWN + row, eight, load(&dout, dout_row(batch, first + row, head), piece));
  }
}

// Keys, then values, go into the tile, and keys into `turned`.
fn stage(thread: u32, batch: u32, kv_head: u32, first: u32) {
  for (var n = 0u; n < STAGE_STEPS; n++) {
    let i = thread + n * THREADS;
    if (i < ROWS / 2u * EIGHTS) {
      let pair = i % (ROWS / 2u);
      let eight = i / (ROWS / 2u);
      let a = row_of(batch, first + 2u * pair, (params.H + kv_head) * D);
      let b = row_of(batch, first + 2u * pair + 1u, (params.H + kv_head) * D);
      let key_a = load(&qkv, a, eight);
      let key_b = load(&qkv, b, eight);
      put(0u, pair, eight, key_a, key_b);
      turn(0u, pair, eight, key_a, key_b);
      let values = params.KV * D;
      put(ROWS, pair, eight, load(&qkv, a + values, eight), load(&qkv, b + values, eight));
    }
  }
}

// The part of dout · out of a row that a lane of a subgroup adds up.
fn dot_part(batch: u32, row: u32, head: u32, lane: u32) -> f32 {
  let first = dout_row(batch, row, head);
  var sum = 0f;
  for (var eight = lane / M; eight < EIGHTS; eight += LANES / M) {
    let a = load(&dout, first, eight);
    let b = load(&out, first, eight);
    #for w in 4
    sum += dot(unpack2x16float(a[${w}u]), unpack2x16float(b[${w}u]));
    #end
  }
  return sum;
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
  let role = subgroup % ROLES;
  let left_row = subgroup / ROLES * BLOCKS * M;
  let role_row = role * OWN + left_row;
  let right_row = role * SUM_MATRICES * MATRIX_N;
  // a row of this lane, MATRIX_M before its next one, and the first column that it takes of it
  let row = left_row + lane % M;
  let column = (role * (LANES / M) + lane / M) * COLUMNS;
  #for b in BLOCKS
  let t_${b} = first + row + ${b}u * M;
  let statistic_${b} = (batch * H + head) * T + min(t_${b}, T - 1u);
  var delta_${b} = dot_part(batch, t_${b}, head, lane);
  for (var offset = M; offset < LANES; offset *= 2u) { delta_${b} += subgroupShuffleXor(delta_${b}, offset); }
  if (column == 0u && t_${b} < T) { delta[statistic_${b}] = delta_${b}; }
  let logsumexp_${b} = vec4f(logsumexp[statistic_${b}] * LOG2_E);
  #end
#include lib/attention_own.wgsl
  let keys = min(first + OWN, T); // no row of this workgroup sees further
#if ${BEGINS}
  #for b in BLOCKS
  let begin_${b} = begin_of(batch, t_${b});
  #end
  let latest = begin_of(batch, keys - 1u);
  for (var j0 = begin_of(batch, first); j0 < keys; j0 += ROWS) {
#else
  for (var j0 = 0u; j0 < keys; j0 += ROWS) {
#endif
    stage(thread, batch, kv_head, j0);
    workgroupBarrier();
#include lib/attention_scores.wgsl
    workgroupBarrier();
    #for b in BLOCKS, c in COLUMN_FOURS
#if ${IS_CAPPED}
    var weight_${b}_${c} = soft_cap(scores_at(row + ${b}u * M, column + 4u * ${c}u) * params.scale);
#else
    var weight_${b}_${c} = scores_at(row + ${b}u * M, column + 4u * ${c}u);
#endif
    let product_${b}_${c} = scores_at(OWN + row + ${b}u * M, column + 4u * ${c}u);
    #end
    if (j0 + ROWS > first + 1u) { // some row does not see some key
      #for b in BLOCKS, c in COLUMN_FOURS
      weight_${b}_${c} = select(vec4f(MASKED), weight_${b}_${c},
        vec4u(j0 + column + 4u * ${c}u) + vec4u(0u, 1u, 2u, 3u) <= vec4u(t_${b}));
      #end
    }
#if ${BEGINS}
    if (latest > j0) { // some row sees only what is further on
      #for b in BLOCKS, c in COLUMN_FOURS
      weight_${b}_${c} = select(vec4f(MASKED), weight_${b}_${c},
        vec4u(j0 + column + 4u * ${c}u) + vec4u(0u, 1u, 2u, 3u) >= vec4u(begin_${b}));
      #end
    }
#endif
    workgroupBarrier();
    #for b in BLOCKS, c in COLUMN_FOURS
#if ${IS_CAPPED}
    put_weights(row + ${b}u * M, column + 4u * ${c}u, soft_cap_slope(weight_${b}_${c}) *
      weights(weight_${b}_${c}, logsumexp_${b}) * (product_${b}_${c} - delta_${b}));
#else
    put_weights(row + ${b}u * M, column + 4u * ${c}u,
      weights(weight_${b}_${c}, logsumexp_${b}) * (product_${b}_${c} - delta_${b}));
#endif
    #end
    workgroupBarrier();
#include lib/attention_sums.wgsl
    workgroupBarrier();
  }
  #for b in BLOCKS
  {
    let dq_row = (batch * T + t_${b}) * row_stride() + head * D;
    #for n in SUM_MATRICES
    subgroupMatrixStore<row_major>(&scores, (role_row + ${b}u * M) * SCORE_STRIDE, sum_${b}_${n}, SCORE_STRIDE);
    write_sums(role_row + lane % M + ${b}u * M, lane, right_row + ${n}u * MATRIX_N, t_${b} < T, dq_row, params.scale);
    #end
  }
  #end
}
