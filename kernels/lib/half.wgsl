// f16 as f32, by integers: WGSL lets a compiler take subnormals for 0, and assume that floats are finite. `halves` are
// bits in the lower half of each word; what is returned are the bits of the same values in f32 (BITS, VALUE: of one
// element or four).
fn widened_halves(halves: BITS) -> BITS {
  let magnitude = halves & BITS(0x7fffu);
  let digits = magnitude << BITS(13u);
  let subnormal = bitcast<BITS>(VALUE(magnitude) * 0x1p-24f);
  let finite = select(digits + BITS(112u << 23u), subnormal, magnitude < BITS(0x0400u));
  let widened = select(finite, digits | BITS(0x7f800000u), magnitude >= BITS(0x7c00u));
  return widened | ((halves & BITS(0x8000u)) << BITS(16u));
}
