// Sum and maximum over the threads of a workgroup of WORKGROUP threads, in a fixed order, given to every thread.
// SINGLE_SUBGROUP: the workgroup is one subgroup, so that no barrier is needed. SUBGROUPS: within each subgroup of
// LANES lanes first, then over the subgroups, through workgroup memory. Else a tree in workgroup memory.
// To be called in uniform control flow.
#if ${SINGLE_SUBGROUP}
fn reduce_sum(value: f32, thread: u32) -> f32 { return subgroupAdd(value); }
fn reduce_max(value: f32, thread: u32) -> f32 { return subgroupMax(value); }
fn reduce_or(value: u32, thread: u32) -> u32 { return subgroupOr(value); }
#elif ${SUBGROUPS}
const SUBGROUPS = WORKGROUP / LANES;
var<workgroup> reduce_scratch: array<f32, SUBGROUPS>;
var<workgroup> reduce_bits: array<u32, SUBGROUPS>;
fn reduce_sum(value: f32, thread: u32) -> f32 {
  let part = subgroupAdd(value);
  workgroupBarrier(); // the last call's result has been read
  if (thread % LANES == 0u) { reduce_scratch[thread / LANES] = part; }
  workgroupBarrier();
  var sum = reduce_scratch[0];
  for (var i = 1u; i < SUBGROUPS; i++) { sum += reduce_scratch[i]; }
  return sum;
}
fn reduce_max(value: f32, thread: u32) -> f32 {
  let part = subgroupMax(value);
  workgroupBarrier();
  if (thread % LANES == 0u) { reduce_scratch[thread / LANES] = part; }
  workgroupBarrier();
  var largest = reduce_scratch[0];
  for (var i = 1u; i < SUBGROUPS; i++) { largest = max(largest, reduce_scratch[i]); }
  return largest;
}
fn reduce_or(value: u32, thread: u32) -> u32 {
  let part = subgroupOr(value);
  workgroupBarrier();
  if (thread % LANES == 0u) { reduce_bits[thread / LANES] = part; }
  workgroupBarrier();
  var bits = reduce_bits[0];
  for (var i = 1u; i < SUBGROUPS; i++) { bits |= reduce_bits[i]; }
  return bits;
}
#else
var<workgroup> reduce_scratch: array<f32, WORKGROUP>;
var<workgroup> reduce_bits: array<u32, WORKGROUP>;
fn reduce_sum(value: f32, thread: u32) -> f32 {
  workgroupBarrier();
  reduce_scratch[thread] = value;
  for (var half = WORKGROUP / 2u; half > 0u; half = half >> 1u) {
    workgroupBarrier();
    if (thread < half) { reduce_scratch[thread] += reduce_scratch[thread + half]; }
  }
  workgroupBarrier();
  return reduce_scratch[0];
}
fn reduce_max(value: f32, thread: u32) -> f32 {
  workgroupBarrier();
  reduce_scratch[thread] = value;
  for (var half = WORKGROUP / 2u; half > 0u; half = half >> 1u) {
    workgroupBarrier();
    if (thread < half) { reduce_scratch[thread] = max(reduce_scratch[thread], reduce_scratch[thread + half]); }
  }
  workgroupBarrier();
  return reduce_scratch[0];
}
fn reduce_or(value: u32, thread: u32) -> u32 {
  workgroupBarrier();
  reduce_bits[thread] = value;
  for (var half = WORKGROUP / 2u; half > 0u; half = half >> 1u) {
    workgroupBarrier();
    if (thread < half) { reduce_bits[thread] |= reduce_bits[thread + half]; }
  }
  workgroupBarrier();
  return reduce_bits[0];
}
#endif
