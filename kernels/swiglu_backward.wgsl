// Gradient of y = silu(gate) * up: with s = 1 / (1 + exp(-gate)),
//   dup = dy * gate * s,   dgate = dy * up * s * (1 + gate * (1 - s)).  Written, not accumulated.
// GELU: s = 1 / (1 + exp(-a(gate))), and dgate = dy * up * s * (1 + gate * a'(gate) * (1 - s)), see lib/swiglu.wgsl.
// x, dx [R, 2C] hold gate and up side by side; dy [R, C]. A workgroup takes ROWS rows. f32 or f16, computed in
// f32, by vectors where a row is whole ones (TYPE, VALUE); `columns` is in vectors.
struct Params { rows: u32, columns: u32 }

var<storage, read> x: array<TYPE>;
var<storage, read> dy: array<TYPE>;
var<storage, read_write> dx: array<TYPE>;
var<uniform> params: Params;

#if ${GELU}
#include lib/swiglu.wgsl
#endif

fn take_row(row: u32, thread: u32) {
  let C = params.columns;
  for (var c = thread; c < C; c += WORKGROUP) {
    let at = row * 2u * C + c;
    let gate = VALUE(x[at]);
    let up = VALUE(x[at + C]);
    let gradient = VALUE(dy[row * C + c]);
#if ${GELU}
    let g = within_gelu(gate);
    let power = exp_of_gate(gate);
    let sigmoid = 1f / (1f + power);
    let slope = g * (GELU_LINEAR + 3f * GELU_CUBIC * g * g);
    dx[at + C] = TYPE(gradient * gate * sigmoid);
    dx[at] = TYPE(gradient * up * sigmoid * (1f + slope * (power * sigmoid)));
#else
    let sigmoid = 1f / (1f + exp(min(-gate, VALUE(88f))));
    dx[at + C] = TYPE(gradient * gate * sigmoid);
    dx[at] = TYPE(gradient * up * sigmoid * (1f + gate * (1f - sigmoid)));
#endif
  }
}

#include lib/each_row.wgsl
