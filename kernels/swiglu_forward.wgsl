// y[r, c] = silu(x[r, c]) * x[r, C + c], silu(g) = g / (1 + exp(-g));  x [R, 2C] holds gate and up side by side, y [R,
// C].
// A workgroup takes ROWS rows. f32 or f16, computed in f32, by vectors where a row is whole ones (TYPE, VALUE);
// `columns` is in vectors.
struct Params { rows: u32, columns: u32 }

var<storage, read> x: array<TYPE>;
var<storage, read_write> y: array<TYPE>;
var<uniform> params: Params;

#include lib/swiglu.wgsl

fn take_row(row: u32, thread: u32) {
  let C = params.columns;
  for (var c = thread; c < C; c += WORKGROUP) {
    let gate = VALUE(x[row * 2u * C + c]);
    let up = VALUE(x[row * 2u * C + C + c]);
    y[row * C + c] = TYPE(swiglu(gate, up));
  }
}

#include lib/each_row.wgsl
