// What the adapter's memory gives at most: y = x over N vectors of four f32. A workgroup copies PER_THREAD times its
// own size, so that neighbouring threads touch neighbouring vectors.
struct Params { count: u32 }

var<storage, read> x: array<vec4f>;
var<storage, read_write> y: array<vec4f>;
var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let first = (workgroup.y * grid.x + workgroup.x) * WORKGROUP * PER_THREAD + thread;
  #for k in PER_THREAD
  if (first + ${k}u * WORKGROUP < params.count) {
    y[first + ${k}u * WORKGROUP] = x[first + ${k}u * WORKGROUP];
  }
  #end
}
