// Rotary position embedding in place, in the half-split order of Hugging Face's LLaMA: with h = D/2, for i < h,
//   x[i] ← x[i] cos - x[i+h] sin,   x[i+h] ← x[i+h] cos + x[i] sin,   angle t * theta^(-2i/D) at position t.
// x [B, T, row_heads, D], of which the first `heads` heads are rotated, f32 or f16; table [T, D/2, 2] holds cos and
// sin, computed on the host in float64 (WGSL's own are good to 2^-11).
// INVERSE rotates back: the gradient. A thread takes VECTOR pairs at a time, 1 or 4 where h is whole vectors: TYPE and
// VALUE are vectors, and of the table a ROTATION has the cos and sin of each. A row is a position of a sequence, all
// its heads; a workgroup takes ROWS of them; `first` is the row of the first one. With DOCUMENTS positions
// count from where a row's document begins in its sequence, documents [B, T].
struct Params { rows: u32, context: u32, heads: u32, row_heads: u32, first: u32 }

var<storage, read> table: array<ROTATION>;
var<storage, read_write> x: array<TYPE>;
#if ${DOCUMENTS}
var<storage, read> documents: array<u32>;
#endif
var<uniform> params: Params;

// In vectors.
const HALF = HEAD_SIZE / 2u / VECTOR;

#if ${IS_VECTOR}
alias ROTATION = mat2x4f;
fn cosines_of(rotation: ROTATION) -> VALUE { return VALUE(rotation[0].xz, rotation[1].xz); }
fn sines_of(rotation: ROTATION) -> VALUE { return VALUE(rotation[0].yw, rotation[1].yw); }
#else
alias ROTATION = vec2f;
fn cosines_of(rotation: ROTATION) -> VALUE { return rotation.x; }
fn sines_of(rotation: ROTATION) -> VALUE { return rotation.y; }
#endif

fn take_row(row: u32, thread: u32) {
#if ${DOCUMENTS}
  let position = (params.first + row) % params.context - documents[row];
#else
  let position = (params.first + row) % params.context;
#endif
  let start = row * params.row_heads * 2u * HALF;
  for (var i = thread; i < params.heads * HALF; i += WORKGROUP) {
    let pair = i % HALF;
    let at = start + (i / HALF) * 2u * HALF + pair;
    let rotation = table[position * HALF + pair];
#if ${INVERSE}
    let sine = -sines_of(rotation);
#else
    let sine = sines_of(rotation);
#endif
    let cosine = cosines_of(rotation);
    let first = VALUE(x[at]);
    let second = VALUE(x[at + HALF]);
    x[at] = TYPE(first * cosine - second * sine);
    x[at + HALF] = TYPE(second * cosine + first * sine);
  }
}

#include lib/each_row.wgsl
