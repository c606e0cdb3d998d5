// Rotary position embedding in place, in the half-split order of Hugging Face's LLaMA: with h = D/2, for i < h,
//   x[i] ← x[i] cos - x[i+h] sin,   x[i+h] ← x[i+h] cos + x[i] sin,   angle t * theta^(-2i/D) at position t.
// x [B, T, row_heads, D], of which the first `heads` heads are rotated, f32 or f16; table [T, D/2, 2] holds cos and
// sin, computed on the host in float64 (WGSL's own are good to 2^-11).
// INVERSE rotates back: the gradient. A row is a position of a sequence, all its heads; a workgroup takes ROWS of them;
// `first` is the row of the first one.
struct Params { rows: u32, context: u32, heads: u32, row_heads: u32, first: u32 }

var<storage, read> table: array<vec2f>;
var<storage, read_write> x: array<TYPE>;
var<uniform> params: Params;

const HALF = HEAD_SIZE / 2u;

fn take_row(row: u32, thread: u32) {
  let position = (params.first + row) % params.context;
  let start = row * params.row_heads * HEAD_SIZE;
  for (var i = thread; i < params.heads * HALF; i += WORKGROUP) {
    let pair = i % HALF;
    let at = start + (i / HALF) * HEAD_SIZE + pair;
    let rotation = table[position * HALF + pair];
#if ${INVERSE}
    let sine = -rotation.y;
#else
    let sine = rotation.y;
#endif
    let first = f32(x[at]);
    let second = f32(x[at + HALF]);
    x[at] = TYPE(first * rotation.x - second * sine);
    x[at + HALF] = TYPE(second * rotation.x + first * sine);
  }
}

#include lib/each_row.wgsl
