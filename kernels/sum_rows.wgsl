// total[c] += sum_r values[r, c];  values [R, C], total [C]. A thread takes a column, in order of rows.
struct Params { rows: u32, columns: u32 }

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> total: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let c = workgroup.x * ${WORKGROUP}u + thread;
  if (c >= params.columns) { return; }
  var sum = 0f;
  for (var row = 0u; row < params.rows; row++) { sum += values[row * params.columns + c]; }
  total[c] += sum;
}
