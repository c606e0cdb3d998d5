// A soft cap: soft_cap(x) = cap * tanh(x / cap), and its slope 1 - tanh², told from what is capped already.
// WGSL's own tanh may be off by 2^-11, and NaN where exp overflows. Here tanh(4z) is made of tanh(z) ≈ z (945 + 105 z²
// + z⁴) / (945 + 420 z² + 15 z⁴), which Lambert's continued fraction comes to, by tanh(2z) = 2ab / (a² + b²) of tanh(z)
// = a/b, twice. Beyond ±9.1 tanh is ±1 to f32's precision. No sum has terms of different signs, so that the result is
// within 30 u of itself for every x, small ones too: 2 for z, 13 for a/b, 3 for each doubling, 5 for the division, and
// the rest for the fraction, the clamp and the last product.
// What is not finite stays so, lest it be taken for a large number. It is told by bits, since WGSL lets a compiler take
// floats for finite. VALUE is f32 or a vector of it, BITS u32 or as many.
const SOFT_CAP = ${CAP}f;

fn soft_cap(x: VALUE) -> VALUE {
  let z = clamp(x, VALUE(-9.1f * SOFT_CAP), VALUE(9.1f * SOFT_CAP)) * (0.25f / SOFT_CAP);
  let y = z * z;
  let a = z * fma(y, y + 105f, VALUE(945f));
  let b = fma(y, fma(y, VALUE(15f), VALUE(420f)), VALUE(945f));
  let c = 2f * a * b;
  let d = fma(a, a, b * b);
  let is_finite = (bitcast<BITS>(x) & BITS(0x7fffffffu)) < BITS(0x7f800000u);
  return select(x, SOFT_CAP * (2f * c * d / fma(c, c, d * d)), is_finite);
}

// What is masked, far below -cap, has a slope of 0.
fn soft_cap_slope(capped: VALUE) -> VALUE {
  let t = clamp(capped * (1f / SOFT_CAP), VALUE(-1f), VALUE(1f));
  return fma(-t, t, VALUE(1f));
}
