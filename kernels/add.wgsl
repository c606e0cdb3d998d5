// y = a + b, elementwise over N; ACCUMULATE: y += a. A thread takes one element.
struct Params { count: u32 }

@group(0) @binding(0) var<storage, read> a: array<f32>;
#if ${ACCUMULATE}
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
#else
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
#endif

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let i = (workgroup.y * grid.x + workgroup.x) * ${WORKGROUP}u + thread;
  if (i >= params.count) { return; }
#if ${ACCUMULATE}
  y[i] += a[i];
#else
  y[i] = a[i] + b[i];
#endif
}
