// Moments in 8 bits: the dynamic tree of Dettmers et al. (2021, arXiv 2110.02861, section 2.2), which holds numbers of
// [-1, 1] (m) or [0, 1] (v), the shares that values have of their block's largest magnitude. Each power of ten from
// 1e-7 … 1e-6 to 0.1 … 1 is cut into 2^b equal parts, and a part stands for its middle: the larger a number, the more
// digits it has. Codes are in the order of what they stand for. With u = 2^b + k for part k of 2^b:
//   v: 0 is 0, 255 is 1, else code + 1 = u, with b = 1 in the least power of ten and 7 in the largest
//   m: 127 is 0, 255 is 1, else |code - 127| = u, with b = 0 in the least power of ten and 6 in the largest
// A v that is not 0 has a code that is not 0, however small it is: m is divided by its root.
const QUADS_OF_BLOCK = 64u; // of four elements, whose codes share a word
const SMALLEST = 1.17549435e-38f; // what is smaller may be taken for 0

// value times ten^n, n up to 7, where powers are those of ten to 1, 2 and 4.
fn times_power(value: vec4f, n: vec4u, powers: vec3f) -> vec4f {
  let one = vec4f(1f);
  return value * select(one, vec4f(powers.x), (n & vec4u(1u)) != vec4u())
    * select(one, vec4f(powers.y), (n & vec4u(2u)) != vec4u())
    * select(one, vec4f(powers.z), (n & vec4u(4u)) != vec4u());
}

fn codes_of(word: u32) -> vec4u { return (vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u); }
fn word_of(codes: vec4u) -> u32 {
  return codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
}

// The middle of part u of the power of ten that n steps lie above.
fn middle(u: vec4u, b: vec4u, n: vec4u) -> vec4f {
  let share = (vec4f(u) + vec4f(0.5f)) * bitcast<vec4f>((vec4u(127u) - b) << vec4u(23u)) - vec4f(1f); // (k + 1/2) / 2^b
  return times_power(vec4f(0.9f) * share + vec4f(0.1f), n, vec3f(1e-1f, 1e-2f, 1e-4f));
}

fn means_of(word: u32) -> vec4f {
  let codes = codes_of(word);
  let is_negative = codes < vec4u(127u);
  let u = max(select(codes - vec4u(127u), vec4u(127u) - codes, is_negative), vec4u(1u));
  let b = firstLeadingBit(u);
  let magnitude = select(middle(u, b, vec4u(6u) - b), vec4f(1f), codes == vec4u(255u));
  return select(select(magnitude, -magnitude, is_negative), vec4f(), codes == vec4u(127u));
}

fn variances_of(word: u32) -> vec4f {
  let codes = codes_of(word);
  let u = codes + vec4u(1u);
  let b = firstLeadingBit(u);
  let value = select(middle(u, b, vec4u(7u) - b), vec4f(1f), codes == vec4u(255u));
  return select(value, vec4f(), codes == vec4u());
}

// The power of ten of a share, counted from the least.
fn power_of(share: vec4f) -> vec4u {
  let millionths = share * 1e6f;
  var power = vec4u();
  #for i in 6
  power += select(vec4u(), vec4u(1u), millionths >= vec4f(1e${i}f));
  #end
  return power;
}

// The part of a share within its power of ten, of 2^b.
fn part_of(share: vec4f, power: vec4u, b: vec4u) -> vec4u {
  let scaled = times_power(share, vec4u(6u) - power, vec3f(1e1f, 1e2f, 1e4f));
  let parts = vec4u(1u) << b;
  let k = vec4u(max((scaled - vec4f(0.1f)) * vec4f(1.1111111f), vec4f()) * vec4f(parts));
  return parts + min(k, parts - vec4u(1u));
}

fn word_of_means(means: vec4f, largest: f32) -> u32 {
  if (largest < SMALLEST) { return word_of(vec4u(127u)); }
  let magnitude = abs(means);
  let share = magnitude / vec4f(largest);
  let power = power_of(share);
  let u = select(part_of(share, power, power), vec4u(), share < vec4f(1e-7f));
  let above = select(vec4u(127u) + u, vec4u(255u), magnitude >= vec4f(largest));
  return word_of(select(above, vec4u(127u) - u, means < vec4f()));
}

fn word_of_variances(variances: vec4f, largest: f32) -> u32 {
  if (largest < SMALLEST) { return 0u; }
  let share = variances / vec4f(largest);
  let power = power_of(share);
  let code = part_of(share, power, power + vec4u(1u)) - vec4u(1u);
  let positive = select(code, vec4u(255u), variances >= vec4f(largest));
  return word_of(select(vec4u(), positive, variances > vec4f()));
}
