// Gradient of causal attention for keys and values: the contract of attention_backward_key_value, in f16, on subgroup
// matrices, laid out as lib/attention_rows.wgsl says. A workgroup owns keys and walks over the queries of the heads
// that share them. p and ds are rounded to f16 for their products with dout and q. dk and dv are summed in matrices, in
// f32: of the two subgroups that own the same rows one has dv and the other dk. IS_CAPPED, scores and slopes are made
// in f32 (lib/soft_cap.wgsl).
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

var<storage, read> qkv: array<CHUNK>;
var<storage, read> logsumexp: array<f32>;
var<storage, read> delta: array<f32>;
var<storage, read> dout: array<CHUNK>;
var<storage, read_write> dqkv: array<OUT_CHUNK>;
var<uniform> params: Params;

#include lib/attention_rows.wgsl
#include lib/attention_gradient.wgsl
#if ${BEGINS}
#include lib/attention_begins.wgsl
#endif
#if ${IS_CAPPED}
#include lib/soft_cap.wgsl
#endif
var<workgroup> logsumexp_tile: array<vec4f, ROWS / 4u>;
var<workgroup> delta_tile: array<vec4f, ROWS / 4u>;

fn stage_own(thread: u32, batch: u32, kv_head: u32, first: u32, slice: u32) {
  for (var i = thread; i < OWN * SLICE / 8u; i += THREADS) {
    let row = i / (SLICE / 8u);
    let eight = i % (SLICE / 8u);
    let key = row_of(batch, first + row, (params.H + kv_head) * D);
    let piece = slice * SLICE / 8u + eight;
    put_own(row, eight, load(&qkv, key, piece));
    put_own(OWN + row, eight, load(&qkv, key + params.KV * D, piece));
  }
}

// Queries, then their rows of dout, go into the tile and into `turned`.
fn stage(thread: u32, batch: u32, head: u32, first: u32) {
  for (var n = 0u; n < STAGE_STEPS; n++) {
    let i = thread + n * THREADS;
    if (i < ROWS / 2u * EIGHTS) {
      let pair = i % (ROWS / 2u);
      let eight = i / (ROWS / 2u);
      let t = first + 2u * pair;
      let query_a = load(&qkv, row_of(batch, t, head * D), eight);
      let query_b = load(&qkv, row_of(batch, t + 1u, head * D), eight);
      put(0u, pair, eight, query_a, query_b);
      turn(0u, pair, eight, query_a, query_b);
      let dout_a = load(&dout, dout_row(batch, t, head), eight);
      let dout_b = load(&dout, dout_row(batch, t + 1u, head), eight);
      put(ROWS, pair, eight, dout_a, dout_b);
      turn(WIDTH, pair, eight, dout_a, dout_b);
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let T = params.T;
  let H = params.H;
  let head = workgroup.y;
  let group = H / params.KV;
  let batch = workgroup.z;
  let first = workgroup.x * OWN;
#if ${BEGINS}
  let last = min(first + OWN, T) - 1u;
#endif
  let role = subgroup % ROLES;
  let pair_row = subgroup / ROLES * BLOCKS * M;
  let role_row = role * OWN + pair_row;
  let left_row = role_row;
  let right_row = (1u - role) * WIDTH;
  // a row of this lane, MATRIX_M before its next one, and the first column that it takes of it
  let row = pair_row + lane % M;
  let column = (role * (LANES / M) + lane / M) * COLUMNS;
#include lib/attention_own.wgsl
  for (var query_head = head * group; query_head < (head + 1u) * group; query_head++) {
    let statistics = (batch * H + query_head) * T;
    // queries before this workgroup's first key see none of its keys
#if ${BEGINS}
    // nor do queries that see only what is behind its last key
    for (var t0 = first; t0 < T && begin_of(batch, t0) <= last; t0 += ROWS) {
#else
    for (var t0 = first; t0 < T; t0 += ROWS) {
#endif
      stage(thread, batch, query_head, t0);
      for (var i = thread; i < ROWS / 4u; i += THREADS) {
        let at = statistics + min(vec4u(t0 + 4u * i) + vec4u(0u, 1u, 2u, 3u), vec4u(T - 1u));
        logsumexp_tile[i] = LOG2_E * vec4f(logsumexp[at.x], logsumexp[at.y], logsumexp[at.z], logsumexp[at.w]);
        delta_tile[i] = vec4f(delta[at.x], delta[at.y], delta[at.z], delta[at.w]);
      }
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
      if (t0 < first + OWN || t0 + ROWS > T) { // some query does not see some key, or is beyond T
        #for b in BLOCKS, c in COLUMN_FOURS
        {
          let t = vec4u(t0 + column + 4u * ${c}u) + vec4u(0u, 1u, 2u, 3u);
          let is_seen = (vec4u(first + row + ${b}u * M) <= t) & (t < vec4u(T));
          weight_${b}_${c} = select(vec4f(MASKED), weight_${b}_${c}, is_seen);
        }
        #end
      }
#if ${BEGINS}
      if (begin_of(batch, t0 + ROWS - 1u) > first) { // some query sees only what is behind some key
        #for b in BLOCKS, c in COLUMN_FOURS
        {
          let starts = begins_of(batch, vec4u(t0 + column + 4u * ${c}u) + vec4u(0u, 1u, 2u, 3u));
          weight_${b}_${c} =
            select(vec4f(MASKED), weight_${b}_${c}, vec4u(first + row + ${b}u * M) >= starts);
        }
        #end
      }
#endif
      workgroupBarrier();
      #for b in BLOCKS, c in COLUMN_FOURS
      {
        let four = column / 4u + ${c}u;
        let p = weights(weight_${b}_${c}, logsumexp_tile[four]);
        put_weights(row + ${b}u * M, 4u * four, p);
#if ${IS_CAPPED}
        put_weights(OWN + row + ${b}u * M, 4u * four,
          p * (product_${b}_${c} - delta_tile[four]) * soft_cap_slope(weight_${b}_${c}));
#else
        put_weights(OWN + row + ${b}u * M, 4u * four, p * (product_${b}_${c} - delta_tile[four]));
#endif
      }
      #end
      workgroupBarrier();
#include lib/attention_sums.wgsl
      workgroupBarrier();
    }
  }
  #for b in BLOCKS
  {
    let j = first + row + ${b}u * M;
    let dk_row = (batch * T + j) * row_stride() + (H + head) * D;
    let target_row = select(dk_row, dk_row + params.KV * D, role == 0u);
    let factor = select(params.scale, 1f, role == 0u);
    #for n in SUM_MATRICES
    subgroupMatrixStore<row_major>(&scores, (role_row + ${b}u * M) * SCORE_STRIDE, sum_${b}_${n}, SCORE_STRIDE);
    write_sums(role_row + lane % M + ${b}u * M, lane, ${n}u * MATRIX_N, j < T, target_row, factor);
    #end
  }
  #end
}
