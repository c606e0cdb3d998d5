// y[r, c] = silu(x[r, c]) * x[r, C + c], silu(g) = g / (1 + exp(-g));  x [R, 2C] holds gate and up side by side, y [R,
// C].
// A workgroup takes ROWS rows. f32 or f16 (TYPE), computed in f32.
struct Params { rows: u32, columns: u32 }

var<storage, read> x: array<TYPE>;
var<storage, read_write> y: array<TYPE>;
var<uniform> params: Params;

#include lib/swiglu.wgsl

fn take_row(row: u32, thread: u32) {
  let C = params.columns;
  for (var c = thread; c < C; c += WORKGROUP) {
    let gate = f32(x[row * 2u * C + c]);
    let up = f32(x[row * 2u * C + C + c]);
    y[row * C + c] = TYPE(swiglu(gate, up));
  }
}

#include lib/each_row.wgsl
