// x = cap * tanh(x / cap), elementwise over N, in place; its error is in lib/soft_cap.wgsl. A thread takes EACH vectors
// of f32 (VALUE). `count` is in vectors.
struct Params { count: u32 }

var<storage, read_write> x: array<VALUE>;
var<uniform> params: Params;

#include lib/soft_cap.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let first = (workgroup.y * grid.x + workgroup.x) * WORKGROUP * EACH + thread;
  for (var e = 0u; e < EACH; e++) {
    let i = first + e * WORKGROUP;
    if (i >= params.count) { return; }
    x[i] = soft_cap(x[i]);
  }
}
