// Two bf16, the upper halves of f32, which WGSL has no type for: the first in the lower half of a word. Widening is
// exact.
fn unpack2x16bfloat(word: u32) -> vec2f { return bitcast<vec2f>(vec2u(word << 16u, word & 0xffff0000u)); }
