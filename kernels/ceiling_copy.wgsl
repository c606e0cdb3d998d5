// What the adapter's memory gives at most: y = x over N vectors of four f32. A workgroup copies PER_THREAD times its
// own size, so that neighbouring threads touch neighbouring vectors.
struct Params { count: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let first = (workgroup.y * grid.x + workgroup.x) * ${WORKGROUP}u * ${PER_THREAD}u + thread;
  #for k in PER_THREAD
  if (first + ${k}u * ${WORKGROUP}u < params.count) {
    y[first + ${k}u * ${WORKGROUP}u] = x[first + ${k}u * ${WORKGROUP}u];
  }
  #end
}
