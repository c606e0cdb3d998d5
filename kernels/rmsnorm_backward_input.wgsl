// Gradient of RMSNorm for its input: with g[c] = dy[r, c] * weight[c],
//   dx[r, c] = rstd * g[c] - x[r, c] * rstd³ / C * sum_c(g * x)  (+ addend[r, c])
// x, dy, dx, addend [R, C], weight [C], rstd [R]. A workgroup takes ROWS rows, VECTOR elements of each at a time (C is
// a multiple of it). dy is f32 or f16 (DY_VALUE), all else f32. Writes dx (no accumulation); the addend is the gradient that x has from
// elsewhere (the residual stream).
struct Params { rows: u32, columns: u32 }

@group(0) @binding(0) var<storage, read> x: array<${VALUE}>;
@group(0) @binding(1) var<storage, read> weight: array<${VALUE}>;
@group(0) @binding(2) var<storage, read> rstd: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<${DY_VALUE}>;
#if ${ADDEND}
@group(0) @binding(4) var<storage, read> addend: array<${VALUE}>;
@group(0) @binding(5) var<storage, read_write> dx: array<${VALUE}>;
@group(0) @binding(6) var<uniform> params: Params;
#else
@group(0) @binding(4) var<storage, read_write> dx: array<${VALUE}>;
@group(0) @binding(5) var<uniform> params: Params;
#endif

${LIB_REDUCE}
${LIB_VECTOR}

fn take_row(row: u32, thread: u32) {
  let C = params.columns / ${VECTOR}u;
  let start = row * C;
  var product = ${VALUE}();
  for (var c = thread; c < C; c += ${WORKGROUP}u) {
    product = fma(${VALUE}(dy[start + c]) * weight[c], x[start + c], product);
  }
  let scale = rstd[row];
  let slope = reduce_sum(total_of(product), thread) * scale * scale * scale / f32(params.columns);
  for (var c = thread; c < C; c += ${WORKGROUP}u) {
    let at = start + c;
    let value = scale * ${VALUE}(dy[at]) * weight[c] - slope * x[at];
#if ${ADDEND}
    dx[at] = value + addend[at];
#else
    dx[at] = value;
#endif
  }
}

${LIB_EACH_ROW}
