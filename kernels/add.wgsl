// y = a + b, elementwise over N; ACCUMULATE: y += a. A thread takes EACH elements. f32 or f16 each,
// added in f32.
struct Params { count: u32 }

@group(0) @binding(0) var<storage, read> a: array<${A_TYPE}>;
#if ${ACCUMULATE}
@group(0) @binding(1) var<storage, read_write> y: array<${Y_TYPE}>;
@group(0) @binding(2) var<uniform> params: Params;
#else
@group(0) @binding(1) var<storage, read> b: array<${B_TYPE}>;
@group(0) @binding(2) var<storage, read_write> y: array<${Y_TYPE}>;
@group(0) @binding(3) var<uniform> params: Params;
#endif

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let first = (workgroup.y * grid.x + workgroup.x) * ${WORKGROUP}u * ${EACH}u + thread;
  for (var e = 0u; e < ${EACH}u; e++) {
    let i = first + e * ${WORKGROUP}u;
    if (i >= params.count) { return; }
#if ${ACCUMULATE}
    y[i] = ${Y_TYPE}(f32(y[i]) + f32(a[i]));
#else
    y[i] = ${Y_TYPE}(f32(a[i]) + f32(b[i]));
#endif
  }
}
