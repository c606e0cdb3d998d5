// First half of RMSNorm's weight gradient: partial[p, c] = sum over the rows r of part p of dy[r, c] * x[r, c] * rstd[r].
// x, dy [R, C], rstd [R], partial [P, C]; part p holds rows p*ROWS … p*ROWS+ROWS-1. A thread takes a column of a part,
// a workgroup WORKGROUP columns. sum_rows adds the parts, in order. `first` is the number of the first part.
// dy is f32 or f16, all else f32.
struct Params { rows: u32, columns: u32, first: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> rstd: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<${DY_TYPE}>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let C = params.columns;
  let c = workgroup.x * ${WORKGROUP}u + thread;
  if (c >= C) { return; }
  let part = workgroup.y;
  let last = min((part + 1u) * ${ROWS}u, params.rows);
  var sum = 0f;
  for (var row = part * ${ROWS}u; row < last; row++) {
    sum = fma(f32(dy[row * C + c]), x[row * C + c] * rstd[row], sum);
  }
  partial[(params.first + part) * C + c] = sum;
}
