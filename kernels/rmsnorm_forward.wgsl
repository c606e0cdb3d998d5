// y[r, c] = x[r, c] * rstd[r] * weight[c], rstd[r] = 1 / sqrt(mean_c(x²) + eps);  x, y [R, C], weight [C], rstd [R].
// A workgroup takes ROWS rows, VECTOR elements of each at a time (C is a multiple of it). y is f32 or f16 (Y_VALUE), all else f32.
// rstd is kept for the backward pass.
struct Params { rows: u32, columns: u32, eps: f32 }

@group(0) @binding(0) var<storage, read> x: array<${VALUE}>;
@group(0) @binding(1) var<storage, read> weight: array<${VALUE}>;
@group(0) @binding(2) var<storage, read_write> y: array<${Y_VALUE}>;
@group(0) @binding(3) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

${LIB_REDUCE}
${LIB_VECTOR}

fn take_row(row: u32, thread: u32) {
  let C = params.columns / ${VECTOR}u;
  let start = row * C;
  var squares = ${VALUE}();
  for (var c = thread; c < C; c += ${WORKGROUP}u) {
    let value = x[start + c];
    squares = fma(value, value, squares);
  }
  let scale = inverseSqrt(reduce_sum(total_of(squares), thread) / f32(params.columns) + params.eps);
  if (thread == 0u) { rstd[row] = scale; }
  for (var c = thread; c < C; c += ${WORKGROUP}u) { y[start + c] = ${Y_VALUE}(x[start + c] * scale * weight[c]); }
}

${LIB_EACH_ROW}
