// f32 rounded to bf16 up or down by chance, so that the mean is the value: a step that is small beside a weight's last
// digit moves it as often as its share of that digit says. The chance is a hash of step, tensor and place, the same
// whenever it is asked for.
#include lib/bfloat.wgsl

// PCG (Jarzynski & Olano, 2020, "Hash Functions for GPU Rendering").
fn scrambled(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

// The two words of four bf16: 16 bits of chance are added to the digits that are cut off.
fn rounded_by_chance(four: vec4f, quad: u32, seed: u32) -> vec2u {
  let low = scrambled(scrambled(2u * quad) ^ seed);
  let high = scrambled(scrambled(2u * quad + 1u) ^ seed);
  let chance = vec4u(low & 0xffffu, low >> 16u, high & 0xffffu, high >> 16u);
  let upper = (bitcast<vec4u>(four) + chance) >> vec4u(16u);
  return upper.xz | (upper.yw << vec2u(16u));
}
