// y = a + b, elementwise over N, where there is an ADDEND b; else y += a. A thread takes EACH vectors. f32 or f16
// each (*_VALUE, a vector of them), added in f32 (VALUE). `count` is in vectors.
struct Params { count: u32 }

var<storage, read> a: array<A_VALUE>;
#if ${ADDEND}
var<storage, read> b: array<B_VALUE>;
#endif
var<storage, read_write> y: array<Y_VALUE>;
var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let first = (workgroup.y * grid.x + workgroup.x) * WORKGROUP * EACH + thread;
  for (var e = 0u; e < EACH; e++) {
    let i = first + e * WORKGROUP;
    if (i >= params.count) { return; }
#if ${ADDEND}
    y[i] = Y_VALUE(VALUE(a[i]) + VALUE(b[i]));
#else
    y[i] = Y_VALUE(VALUE(y[i]) + VALUE(a[i]));
#endif
  }
}
