// y[r, c] = silu(x[r, c]) * x[r, C + c], silu(g) = g / (1 + exp(-g));  x [R, 2C] holds gate and up side by side, y [R, C].
// A workgroup takes ROWS rows. f32 or f16 (TYPE), computed in f32.
struct Params { rows: u32, columns: u32 }

@group(0) @binding(0) var<storage, read> x: array<${TYPE}>;
@group(0) @binding(1) var<storage, read_write> y: array<${TYPE}>;
@group(0) @binding(2) var<uniform> params: Params;

${LIB_SWIGLU}

fn take_row(row: u32, thread: u32) {
  let C = params.columns;
  for (var c = thread; c < C; c += ${WORKGROUP}u) {
    let gate = f32(x[row * 2u * C + c]);
    let up = f32(x[row * 2u * C + C + c]);
    y[row * C + c] = ${TYPE}(swiglu(gate, up));
  }
}

${LIB_EACH_ROW}
