// Sum of squares of a part of a gradient: partial[first + w] for the elements w*ELEMENTS … of a tensor of `count`, both
// in vectors (BITS, VALUE), where the tensor is whole ones.
// kept: the first elements (in vectors), which are not counted.
// STAGED: the parameter is frozen at first, and its gradient is not counted as long as its schedule's step is 0.
// partial is kept as bits: where an element is NaN or infinite (all ones in the exponent) the bits of +infinity are
// stored, since WGSL lets a compiler assume that floats are finite. Of a gradient in f16 (lib/gradient.wgsl) the
// largest finite value, 65504, is bad too: what overflows may be rounded to it. Sums in f32, in a fixed order.
struct Params { count: u32, first: u32, kept: u32 }

#if ${STAGED}
struct Schedule { learning_rate: f32, correction1: f32, correction2: f32, step: u32 }
var<storage, read> schedule: Schedule;
#endif
#include lib/gradient.wgsl
var<storage, read_write> partial: array<u32>;
var<uniform> params: Params;

const EXPONENT = 0x7f800000u;
// The least magnitude that is bad, as bits of f32.
#if ${GRADIENT_HALF}
const BAD = 0x477fe000u;
#else
const BAD = EXPONENT;
#endif

#include lib/reduce.wgsl
#include lib/vector.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let part = workgroup.y * grid.x + workgroup.x;
  let begin = part * ELEMENTS;
  if (begin >= params.count) { return; }
#if ${STAGED}
  if (schedule.step == 0u) {
    if (thread == 0u) { partial[params.first + part] = 0u; }
    return;
  }
#endif
  let end = min(begin + ELEMENTS, params.count);
  var sum = VALUE();
  var bad = 0u;
  for (var i = max(begin, params.kept) + thread; i < end; i += WORKGROUP) {
    let bits = gradient_bits(i);
    bad |= select(0u, 1u, any((bits & BITS(0x7fffffffu)) >= BITS(BAD)));
    let value = bitcast<VALUE>(bits);
    sum = fma(value, value, sum);
  }
  let total = bitcast<u32>(reduce_sum(total_of(sum), thread));
  let any_bad = reduce_or(bad, thread);
  if (thread == 0u) {
    partial[params.first + part] = select(total, EXPONENT, any_bad != 0u || (total & EXPONENT) == EXPONENT);
  }
}
