// RMSNorm over single heads, in place: for the `heads` heads from element `offset` on of the `row_size` of a row,
//   x[r, h, d] ← x[r, h, d] * rstd[r, h] * weight[d],   rstd[r, h] = 1 / sqrt(mean_d(x²) + eps)
// x [R, row_size], f32 or f16 (TYPE), weight [D], rstd [R, heads]; all computed in f32. Here a row is one head of a
// position; a workgroup takes ROWS of them. With UNIT_OFFSET the weight is taken as 1 + weight. rstd is kept for the
// backward pass.
struct Params { rows: u32, heads: u32, offset: u32, row_size: u32, head_size: u32, eps: f32 }

var<storage, read> weight: array<f32>;
var<storage, read_write> x: array<TYPE>;
var<storage, read_write> rstd: array<f32>;
var<uniform> params: Params;

#include lib/reduce.wgsl

fn take_row(row: u32, thread: u32) {
  let D = params.head_size;
  let start = (row / params.heads) * params.row_size + params.offset + (row % params.heads) * D;
  var squares = 0f;
  for (var d = thread; d < D; d += WORKGROUP) {
    let value = f32(x[start + d]);
    squares = fma(value, value, squares);
  }
  let scale = inverseSqrt(reduce_sum(squares, thread) / f32(D) + params.eps);
  if (thread == 0u) { rstd[row] = scale; }
#if ${UNIT_OFFSET}
  for (var d = thread; d < D; d += WORKGROUP) { x[start + d] = TYPE(f32(x[start + d]) * scale * (weight[d] + 1f)); }
#else
  for (var d = thread; d < D; d += WORKGROUP) { x[start + d] = TYPE(f32(x[start + d]) * scale * weight[d]); }
#endif
}

#include lib/each_row.wgsl
