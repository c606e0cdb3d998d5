// total[0] += scale * sum_i values[i];  values [N], total [1]. One workgroup, in a fixed order, in f32.
struct Params { count: u32, scale: f32 }

var<storage, read> values: array<f32>;
var<storage, read_write> total: array<f32>;
var<uniform> params: Params;

#include lib/reduce.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) thread: u32) {
  var sum = 0f;
  for (var i = thread; i < params.count; i += WORKGROUP) { sum += values[i]; }
  let all = reduce_sum(sum, thread);
  if (thread == 0u) { total[0] += params.scale * all; }
}
