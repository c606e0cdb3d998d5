// The gradient that an update reads, as bits: VECTOR elements at a time (BITS, VALUE), in f32, or with GRADIENT_HALF in
// f16, in words of two.
#if ${GRADIENT_HALF}
#include lib/half.wgsl
#if ${IS_VECTOR}
var<storage, read> gradient: array<vec2u>;
fn gradient_bits(i: u32) -> BITS {
  let words = gradient[i];
  return widened_halves(vec4u(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u));
}
#else
var<storage, read> gradient: array<u32>;
fn gradient_bits(i: u32) -> BITS { return widened_halves((gradient[i / 2u] >> (16u * (i % 2u))) & 0xffffu); }
#endif
#else
var<storage, read> gradient: array<BITS>;
fn gradient_bits(i: u32) -> BITS { return gradient[i]; }
#endif
