// bf16, which WGSL has no type for: the upper half of an f32. A word holds two, the first in its lower half. Widening is
// exact.
fn bfloat_of(word: u32, index: u32) -> f32 { return bitcast<f32>((word >> (16u * (index % 2u))) << 16u); }
fn bfloats_of(word: u32) -> vec2f { return bitcast<vec2f>(vec2u(word << 16u, word & 0xffff0000u)); }
