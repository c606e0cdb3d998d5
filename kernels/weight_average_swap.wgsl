// a and b change places, elementwise over N, both f32. A thread takes EACH vectors; `count` is in vectors.
struct Params { count: u32 }

var<storage, read_write> a: array<A_VALUE>;
var<storage, read_write> b: array<B_VALUE>;
var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let first = (workgroup.y * grid.x + workgroup.x) * WORKGROUP * EACH + thread;
  for (var e = 0u; e < EACH; e++) {
    let i = first + e * WORKGROUP;
    if (i >= params.count) { return; }
    let kept = a[i];
    a[i] = b[i];
    b[i] = kept;
  }
}
