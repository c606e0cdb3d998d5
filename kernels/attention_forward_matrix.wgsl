// Causal attention: the contract of attention_forward, in f16, on subgroup matrices (tensor cores) of
// MATRIX_M x MATRIX_N x MATRIX_K with f16 operands and f32 sums.
// A subgroup of LANES lanes owns MATRIX_M query rows, a workgroup SUBGROUPS times as many of one head, and walks over
// the keys, ROWS at a time, laid out as lib/attention_rows.wgsl says. Scores leave the matrices through workgroup
// memory, since these have no elements that WGSL could reach, and come back as weights, rounded to f16 for their
// product with v. out is summed in matrices, in f32.
// A row's weights are exp(score - reference). The reference is the largest score of the first keys, and follows later
// ones only where they exceed it by HEADROOM, so that out is seldom rescaled, which takes it through workgroup memory;
// weights of up to exp(HEADROOM) are well within f16.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

var<storage, read> qkv: array<CHUNK>;
var<storage, read_write> out: array<OUT_CHUNK>;
var<storage, read_write> logsumexp: array<f32>;
var<uniform> params: Params;

#include lib/attention_rows.wgsl
const MASKED = -1e30f;
const HEADROOM = 8f;
var<workgroup> weights: array<vec4<f16>, OWN * WEIGHT_STRIDE>;
var<workgroup> is_rescaled: atomic<u32>;

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
  var reference = MASKED;
  var sum = 0f;
  #for s in WIDTH_STEPS
  var q_${s}: subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>;
  #end
  #for n in SUM_MATRICES
  var out_${n}: subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;
  #end
  #for p in OWN_PARTS
  stage(thread, batch, head * D, first + ${p}u * TILE_ROWS, OWN_ROWS, 0u);
  workgroupBarrier();
  if (tile_row / TILE_ROWS == ${p}u) {
    #for s in WIDTH_STEPS
    q_${s} = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&tile,
      tile_row % TILE_ROWS * STRIDE + ${s}u * MATRIX_K / VECTOR, STRIDE);
    #end
  }
  workgroupBarrier();
  #end
  let keys = min(first + OWN, T); // no row of this workgroup sees further
  for (var j0 = 0u; j0 < keys; j0 += ROWS) {
    stage_keys(thread, batch, kv_head, j0);
    if (thread == 0u) { atomicStore(&is_rescaled, 0u); }
    workgroupBarrier();
    #for n in SCORE_MATRICES
    {
      var score = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>(0f);
      #for s in WIDTH_STEPS
      score = subgroupMatrixMultiplyAccumulate(q_${s},
        subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, col_major>(&tile,
          ${n}u * MATRIX_N * STRIDE + ${s}u * MATRIX_K / VECTOR, STRIDE),
        score);
      #end
      subgroupMatrixStore<row_major>(&scores, tile_row * SCORE_STRIDE + ${n}u * MATRIX_N / 4u, score, SCORE_STRIDE);
    }
    #end
    workgroupBarrier();
    // the keys that this lane takes of its row, in fours
    let column = part * SCORE_FOURS;
    let key = j0 + 4u * column;
    var largest = MASKED;
    #for c in SCORE_FOURS
    let is_seen_${c} = vec4u(key + 4u * ${c}u) + vec4u(0u, 1u, 2u, 3u) <= vec4u(t);
    let score_${c} = select(vec4f(MASKED), scores[row * SCORE_STRIDE + column + ${c}u] * params.scale, is_seen_${c});
    largest = max(largest, max(max(score_${c}.x, score_${c}.y), max(score_${c}.z, score_${c}.w)));
    #end
    largest = row_max(largest);
    let exceeds = largest > reference + HEADROOM;
    let correction = select(1f, exp(reference - largest), exceeds);
    reference = select(reference, largest, exceeds);
    var added = 0f;
    #for c in SCORE_FOURS
    let weight_${c} = select(vec4f(0f), exp(score_${c} - reference), is_seen_${c});
    added += weight_${c}.x + weight_${c}.y + weight_${c}.z + weight_${c}.w;
    weights[row * WEIGHT_STRIDE + column + ${c}u] = vec4<f16>(weight_${c});
    #end
    sum = sum * correction + row_sum(added);
    if (exceeds && j0 > 0u) { atomicStore(&is_rescaled, 1u); }
    if (workgroupUniformLoad(&is_rescaled) != 0u) {
      #for n in SUM_MATRICES
      subgroupMatrixStore<row_major>(&scores, tile_row * SCORE_STRIDE, out_${n}, SCORE_STRIDE);
      workgroupBarrier();
      for (var c = part; c < MATRIX_N / 4u; c += LANES_A_ROW) { scores[row * SCORE_STRIDE + c] *= correction; }
      workgroupBarrier();
      out_${n} = subgroupMatrixLoad<subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>, row_major>(&scores,
        tile_row * SCORE_STRIDE, SCORE_STRIDE);
      workgroupBarrier();
      #end
    }
    #for s in ROW_STEPS
    {
      let weight = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&weights,
        tile_row * WEIGHT_STRIDE + ${s}u * MATRIX_K / 4u, WEIGHT_STRIDE);
      #for n in SUM_MATRICES
      out_${n} = subgroupMatrixMultiplyAccumulate(weight,
        subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, row_major>(&tile,
          (ROWS + ${s}u * MATRIX_K) * STRIDE + ${n}u * MATRIX_N / VECTOR, STRIDE),
        out_${n});
      #end
    }
    #end
    workgroupBarrier();
  }
  let out_row = ((batch * T + t) * params.H + head) * D;
  #for n in SUM_MATRICES
  subgroupMatrixStore<row_major>(&scores, tile_row * SCORE_STRIDE, out_${n}, SCORE_STRIDE);
  write_sums(row, part, 0u, ${n}u * MATRIX_N, t < T, out_row, 1f / sum);
  #end
  if (part == 0u && t < T) { logsumexp[(batch * params.H + head) * T + t] = reference + log(sum); }
}
