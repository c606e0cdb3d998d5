// x[r, c] += bias[c], in place;  x [R, C], f32 or f16, bias [C] in f32; added in f32. A workgroup takes ROWS rows, by
// vectors where a row is whole ones (TYPE, VALUE); `columns` is in vectors.
struct Params { rows: u32, columns: u32 }

var<storage, read> bias: array<VALUE>;
var<storage, read_write> x: array<TYPE>;
var<uniform> params: Params;

fn take_row(row: u32, thread: u32) {
  let start = row * params.columns;
  for (var c = thread; c < params.columns; c += WORKGROUP) { x[start + c] = TYPE(VALUE(x[start + c]) + bias[c]); }
}

#include lib/each_row.wgsl
