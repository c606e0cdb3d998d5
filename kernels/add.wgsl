// y = a + b, elementwise over N, where there is an ADDEND b; else y += a. A thread takes EACH elements. f32 or f16
// each, added in f32.
struct Params { count: u32 }

var<storage, read> a: array<A_TYPE>;
#if ${ADDEND}
var<storage, read> b: array<B_TYPE>;
#endif
var<storage, read_write> y: array<Y_TYPE>;
var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let first = (workgroup.y * grid.x + workgroup.x) * WORKGROUP * EACH + thread;
  for (var e = 0u; e < EACH; e++) {
    let i = first + e * WORKGROUP;
    if (i >= params.count) { return; }
#if ${ADDEND}
    y[i] = Y_TYPE(f32(a[i]) + f32(b[i]));
#else
    y[i] = Y_TYPE(f32(y[i]) + f32(a[i]));
#endif
  }
}
