// What the adapter's memory gives at most: y = x over N elements of TYPE, one a thread.
struct Params { count: u32 }

@group(0) @binding(0) var<storage, read> x: array<${TYPE}>;
@group(0) @binding(1) var<storage, read_write> y: array<${TYPE}>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let i = (workgroup.y * grid.x + workgroup.x) * ${WORKGROUP}u + thread;
  if (i >= params.count) { return; }
  y[i] = x[i];
}
