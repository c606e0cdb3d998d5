// y = x in another type, elementwise over N (to f16: rounded; beyond 65504 it becomes infinite). X_BFLOAT: x is bf16,
// in words of two. SCALED: times `scale`, in f32. A thread takes EACH vectors (X_VALUE, Y_VALUE), of which there are
// `count`.
struct Params {
  count: u32,
#if ${SCALED}
  scale: f32,
#endif
}

#if ${X_BFLOAT}
var<storage, read> x: array<u32>;
#include lib/bfloat.wgsl
fn x_at(i: u32) -> f32 { return unpack2x16bfloat(x[i / 2u])[i % 2u]; }
#else
var<storage, read> x: array<X_VALUE>;
fn x_at(i: u32) -> X_VALUE { return x[i]; }
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
#if ${SCALED}
    y[i] = Y_VALUE(params.scale * VALUE(x_at(i)));
#else
    y[i] = Y_VALUE(x_at(i));
#endif
  }
}
