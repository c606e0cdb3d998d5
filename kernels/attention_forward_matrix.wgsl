// Causal attention: the contract of attention_forward, in f16, on subgroup matrices (tensor cores) of
// MATRIX_M x MATRIX_N x MATRIX_K with f16 operands and f32 sums, laid out as lib/attention_rows.wgsl says.
// Scores leave the matrices through workgroup memory, since these have no elements that WGSL could reach, and come back
// as weights, rounded to f16 for their product with v. out is summed in matrices, in f32.
// IS_CAPPED, scores are capped in f32 when they come back (lib/soft_cap.wgsl).
// A row's weights are exp(score - reference), as powers of two. The reference is the largest score of the first keys,
// and follows later ones only where they exceed it by HEADROOM, so that out is seldom rescaled, which takes it through
// workgroup memory; weights of up to 2^HEADROOM are well within f16.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

var<storage, read> qkv: array<CHUNK>;
var<storage, read_write> out: array<OUT_CHUNK>;
var<storage, read_write> logsumexp: array<f32>;
var<uniform> params: Params;

#include lib/attention_rows.wgsl
#if ${BEGINS}
#include lib/attention_begins.wgsl
#endif
#if ${IS_CAPPED}
#include lib/soft_cap.wgsl
#endif
const HEADROOM = 11f;
var<workgroup> is_rescaled: atomic<u32>;

fn row_max(value: f32) -> f32 {
  var largest = value;
  for (var offset = M; offset < LANES; offset *= 2u) { largest = max(largest, subgroupShuffleXor(largest, offset)); }
  return largest;
}

fn row_sum(value: f32) -> f32 {
  var sum = value;
  for (var offset = M; offset < LANES; offset *= 2u) { sum += subgroupShuffleXor(sum, offset); }
  return sum;
}

fn stage_own(thread: u32, batch: u32, head: u32, first: u32, slice: u32) {
  for (var i = thread; i < OWN * SLICE / 8u; i += THREADS) {
    let row = i / (SLICE / 8u);
    let eight = i % (SLICE / 8u);
    put_own(row, eight, load(&qkv, row_of(batch, first + row, head * D), slice * SLICE / 8u + eight));
  }
}

// Keys go into the tile, values into `turned`.
fn stage(thread: u32, batch: u32, kv_head: u32, first: u32) {
  for (var n = 0u; n < STAGE_STEPS; n++) {
    let i = thread + n * THREADS;
    if (i < ROWS / 2u * EIGHTS) {
      let pair = i % (ROWS / 2u);
      let eight = i / (ROWS / 2u);
      let a = row_of(batch, first + 2u * pair, (params.H + kv_head) * D);
      let b = row_of(batch, first + 2u * pair + 1u, (params.H + kv_head) * D);
      put(0u, pair, eight, load(&qkv, a, eight), load(&qkv, b, eight));
      let values = params.KV * D;
      turn(0u, pair, eight, load(&qkv, a + values, eight), load(&qkv, b + values, eight));
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let T = params.T;
  let head = workgroup.y;
  let batch = workgroup.z;
  let kv_head = head / (params.H / params.KV);
  let first = workgroup.x * OWN;
  let role = 0u;
  let role_row = subgroup * BLOCKS * M;
  let left_row = role_row;
  let right_row = 0u;
  // a row of this lane, MATRIX_M before its next one, and the first column that it takes of it
  let row = role_row + lane % M;
  let column = lane / M * COLUMNS;
#if ${IS_CAPPED}
  let factor = LOG2_E; // capped scores are scaled already
#else
  let factor = params.scale * LOG2_E;
#endif
  #for b in BLOCKS
  var reference_${b} = MASKED;
  var total_${b} = vec4f();
  #end
#include lib/attention_own.wgsl
  let keys = min(first + OWN, T); // no row of this workgroup sees further
#if ${BEGINS}
  #for b in BLOCKS
  let document_${b} = document_of(batch, first + row + ${b}u * M);
#if ${IS_LOCAL}
  let begin_${b} = begin_of(batch, first + row + ${b}u * M);
#endif
  #end
  let latest = begin_of(batch, keys - 1u);
  for (var j0 = first_block(batch, first, ROWS); j0 < keys; j0 = next_block(batch, j0, ROWS)) {
#else
  for (var j0 = 0u; j0 < keys; j0 += ROWS) {
#endif
    stage(thread, batch, kv_head, j0);
    if (thread == 0u) { atomicStore(&is_rescaled, 0u); }
    workgroupBarrier();
#include lib/attention_scores.wgsl
    workgroupBarrier();
    #for b in BLOCKS, c in COLUMN_FOURS
#if ${IS_CAPPED}
    var weight_${b}_${c} = soft_cap(scores_at(row + ${b}u * M, column + 4u * ${c}u) * params.scale);
#else
    var weight_${b}_${c} = scores_at(row + ${b}u * M, column + 4u * ${c}u);
#endif
    #end
    if (j0 + ROWS > first + 1u) { // some row does not see some key
      #for b in BLOCKS, c in COLUMN_FOURS
      weight_${b}_${c} = select(vec4f(MASKED), weight_${b}_${c},
        vec4u(j0 + column + 4u * ${c}u) + vec4u(0u, 1u, 2u, 3u) <= vec4u(first + row + ${b}u * M));
      #end
    }
#if ${BEGINS}
    if (latest > j0) { // some row sees only what is further on
      #for b in BLOCKS, c in COLUMN_FOURS
      weight_${b}_${c} = select(vec4f(MASKED), weight_${b}_${c}, document_${b} <= j0);
#if ${IS_LOCAL}
      weight_${b}_${c} = select(vec4f(MASKED), weight_${b}_${c},
        vec4u(j0 + column + 4u * ${c}u) + vec4u(0u, 1u, 2u, 3u) >= vec4u(begin_${b}));
#endif
      #end
    }
#endif
    #for b in BLOCKS
    let before_${b} = reference_${b};
    var largest_${b} = MASKED;
    #for c in COLUMN_FOURS
    largest_${b} = max(largest_${b},
      max(max(weight_${b}_${c}.x, weight_${b}_${c}.y), max(weight_${b}_${c}.z, weight_${b}_${c}.w)));
    #end
    largest_${b} = row_max(largest_${b}) * factor;
#if ${BEGINS}
    // a row has no reference and no sums before what it sees
    if (largest_${b} > 0.5f * MASKED * factor && largest_${b} > reference_${b} + HEADROOM) {
      reference_${b} = largest_${b};
      if (before_${b} > MASKED) { atomicStore(&is_rescaled, 1u); }
    }
#else
    if (largest_${b} > reference_${b} + HEADROOM) {
      reference_${b} = largest_${b};
      if (j0 > 0u) { atomicStore(&is_rescaled, 1u); }
    }
#endif
    #end
    if (workgroupUniformLoad(&is_rescaled) != 0u) {
      #for b in BLOCKS
      let correction_${b} = exp2(before_${b} - reference_${b});
      total_${b} *= correction_${b};
      #for n in SUM_MATRICES
      subgroupMatrixStore<row_major>(&scores, (role_row + ${b}u * M) * SCORE_STRIDE, sum_${b}_${n}, SCORE_STRIDE);
      workgroupBarrier();
      for (var c = 2u * (lane / M); c < MATRIX_N / 2u; c += 2u * LANES / M) {
        let at = (row + ${b}u * M) * SCORE_STRIDE + c;
        scores[at] = bitcast<vec2u>(bitcast<vec2f>(scores[at]) * correction_${b});
        scores[at + 1u] = bitcast<vec2u>(bitcast<vec2f>(scores[at + 1u]) * correction_${b});
      }
      workgroupBarrier();
      sum_${b}_${n} = subgroupMatrixLoad<subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>, row_major>(&scores,
        (role_row + ${b}u * M) * SCORE_STRIDE, SCORE_STRIDE);
      workgroupBarrier();
      #end
      #end
    }
    #for b in BLOCKS, c in COLUMN_FOURS
#if ${BEGINS}
    weight_${b}_${c} = select(exp2(fma(weight_${b}_${c}, vec4f(factor), vec4f(-reference_${b}))), vec4f(),
      weight_${b}_${c} <= vec4f(MASKED));
#else
    weight_${b}_${c} = exp2(fma(weight_${b}_${c}, vec4f(factor), vec4f(-reference_${b})));
#endif
    total_${b} += weight_${b}_${c};
    put_weights(row + ${b}u * M, column + 4u * ${c}u, weight_${b}_${c});
    #end
    workgroupBarrier();
#include lib/attention_sums.wgsl
    workgroupBarrier();
  }
  #for b in BLOCKS
  {
    let t = first + row + ${b}u * M;
    let sum = row_sum(dot(total_${b}, vec4f(1f)));
    let out_row = ((batch * T + t) * params.H + head) * D;
    #for n in SUM_MATRICES
    subgroupMatrixStore<row_major>(&scores, (role_row + ${b}u * M) * SCORE_STRIDE, sum_${b}_${n}, SCORE_STRIDE);
    write_sums(row + ${b}u * M, lane, ${n}u * MATRIX_N, t < T, out_row, 1f / sum);
    #end
    if (column == 0u && t < T) {
      logsumexp[(batch * params.H + head) * T + t] = (reference_${b} + log2(sum)) / LOG2_E;
    }
  }
  #end
}
