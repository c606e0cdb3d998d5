// y[r, c] = silu(x[r, c]) * x[r, C + c], silu(g) = g / (1 + exp(-g));  x [R, 2C] holds gate and up side by side, y [R, C].
// A workgroup takes a row. f32 or f16 (TYPE), computed in f32.
struct Params { rows: u32, columns: u32 }

@group(0) @binding(0) var<storage, read> x: array<${TYPE}>;
@group(0) @binding(1) var<storage, read_write> y: array<${TYPE}>;
@group(0) @binding(2) var<uniform> params: Params;

${LIB_SWIGLU}

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let row = workgroup.y * grid.x + workgroup.x;
  if (row >= params.rows) { return; }
  let C = params.columns;
  for (var c = thread; c < C; c += ${WORKGROUP}u) {
    let gate = f32(x[row * 2u * C + c]);
    let up = f32(x[row * 2u * C + C + c]);
    y[row * C + c] = ${TYPE}(swiglu(gate, up));
  }
}
