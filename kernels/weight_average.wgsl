// The exponential moving average of weights, elementwise over N:
//   average ← average + (1-β) (weight - average)
// so that an average that equals its weight stays it, to the bit. complement = 1-β is computed on the host, rounded
// once. A step that makes no update (health.bad_step ≠ 0 or health.skipped ≠ 0) leaves the average alone too. All in
// f32. A change below half a unit in the last place of the average is lost: with 1-β = 0.0001 the average stands still
// where it is within 0.0006 of the weight, relative. A thread takes EACH vectors (VALUE); `count` is in vectors.
struct Params { count: u32 }
struct Rate { complement: f32 }
#include lib/step_health.wgsl

var<storage, read> rate: Rate;
var<storage, read> health: Health;
var<storage, read> weight: array<WEIGHT_VALUE>;
var<storage, read_write> average: array<AVERAGE_VALUE>;
var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  if (health.bad_step != 0u || health.skipped != 0u) { return; }
  let first = (workgroup.y * grid.x + workgroup.x) * WORKGROUP * EACH + thread;
  for (var e = 0u; e < EACH; e++) {
    let i = first + e * WORKGROUP;
    if (i >= params.count) { return; }
    let before = average[i];
    average[i] = before + rate.complement * (weight[i] - before);
  }
}
