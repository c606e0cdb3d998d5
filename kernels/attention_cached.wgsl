// Attention of one new position of each sequence over the cache, its own position included (see cache_write):
//   out[b, h] = sum_{j <= p} softmax_j(scale * q[b, h] · k[b, j, g]) v[b, j, g],   p = positions[b], g = h / (H / KV)
// qkv [B, H + 2 KV, D], of which q is read; keys [B, KV, D, capacity]; values [B, KV, capacity, D]; out [B, H, D]. f32
// or f16 (TYPE), computed in f32.
// IS_LOCAL: over the newest WINDOW of these positions alone. IS_RING: position j stands at j % capacity (cache_write).
// IS_CAPPED: of soft_cap(scale * q · k) (lib/soft_cap.wgsl).
// A workgroup takes a head of a sequence, TILE keys at a time (at most WORKGROUP): first a thread has a key, then a
// thread has dimensions WORKGROUP apart (CHUNKS of them). Every sum is in the order of attention_forward, with the
// running maximum of each block of KEYS keys, so that a position gets the same bits from either.
struct Params { H: u32, KV: u32, capacity: u32, scale: f32 }

var<storage, read> qkv: array<TYPE>;
var<storage, read> keys: array<TYPE>;
var<storage, read> values: array<TYPE>;
var<storage, read> positions: array<u32>;
var<storage, read_write> out: array<TYPE>;
var<uniform> params: Params;

#if ${IS_CAPPED}
#include lib/soft_cap.wgsl
#endif
const D = HEAD_SIZE;
const MASKED = -1e30f;

var<workgroup> query: array<f32, D>;
var<workgroup> scores: array<f32, TILE>;
var<workgroup> weights: array<f32, TILE>;
var<workgroup> corrections: array<f32, TILE / KEYS>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let head = workgroup.x;
  let batch = workgroup.y;
  let capacity = params.capacity;
#if ${IS_RING}
  let length = positions[batch] + 1u;
#else
  let length = min(positions[batch] + 1u, capacity);
#endif
  let q_row = (batch * (params.H + 2u * params.KV) + head) * D;
  let group = (batch * params.KV + head / (params.H / params.KV)) * D * capacity;
  for (var d = thread; d < D; d += WORKGROUP) { query[d] = f32(qkv[q_row + d]) * params.scale; }
  var largest = MASKED;
  var sum = 0f;
  #for c in CHUNKS
  var out_${c} = 0f;
  let dimension_${c} = min(${c}u * WORKGROUP + thread, D - 1u);
  #end
  let block = thread / KEYS;
#if ${IS_LOCAL}
  let begin = length - min(length, WINDOW);
  for (var j0 = begin / KEYS * KEYS; j0 < length; j0 += TILE) {
#else
  for (var j0 = 0u; j0 < length; j0 += TILE) {
#endif
    let count = min(length - j0, TILE);
    workgroupBarrier();
    var score = MASKED;
#if ${IS_LOCAL}
    if (thread < count && j0 + thread >= begin) {
#else
    if (thread < count) {
#endif
      score = 0f;
#if ${IS_RING}
      let key = group + (j0 + thread) % capacity;
      for (var d = 0u; d < D; d++) { score = fma(query[d], f32(keys[key + d * capacity]), score); }
#else
      for (var d = 0u; d < D; d++) { score = fma(query[d], f32(keys[group + d * capacity + j0 + thread]), score); }
#endif
#if ${IS_CAPPED}
      score = soft_cap(score);
#endif
    }
    if (thread < TILE) { scores[thread] = score; }
    workgroupBarrier();
    var before = largest; // the largest score in front of this thread's block of keys, and with it
    var now = largest;
    for (var j = 0u; j < count; j++) {
      let other = scores[j];
      before = max(before, select(MASKED, other, j / KEYS < block));
      now = max(now, select(MASKED, other, j / KEYS <= block));
      largest = max(largest, other);
    }
    if (thread < TILE) {
      weights[thread] = exp(score - now);
      if (thread % KEYS == 0u) { corrections[block] = exp(before - now); }
    }
    workgroupBarrier();
    for (var b = 0u; b * KEYS < count; b++) {
      let correction = corrections[b];
      sum *= correction;
      #for c in CHUNKS
      out_${c} *= correction;
      #end
      for (var j = b * KEYS; j < min((b + 1u) * KEYS, count); j++) {
        let weight = weights[j];
        sum += weight;
#if ${IS_RING}
        let value = group + (j0 + j) % capacity * D;
        #for c in CHUNKS
        out_${c} = fma(weight, f32(values[value + dimension_${c}]), out_${c});
        #end
#else
        #for c in CHUNKS
        out_${c} = fma(weight, f32(values[group + (j0 + j) * D + dimension_${c}]), out_${c});
        #end
#endif
      }
    }
  }
  let inverse = 1f / sum;
  #for c in CHUNKS
  if (${c}u * WORKGROUP + thread < D) {
    out[(batch * params.H + head) * D + ${c}u * WORKGROUP + thread] = TYPE(out_${c} * inverse);
  }
  #end
}
