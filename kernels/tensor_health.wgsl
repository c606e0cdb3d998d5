// What a tensor's values look like, for part w of a tensor of `count` elements (ELEMENTS a part):
//   report[5*(first + w) …] = largest finite |x|, sum of x² over finite x (f32); zeros, subnormals, not finite (u32)
// UPDATE: x is AdamW's step before the learning rate and without decay, m * correction1 / (sqrt(v * correction2) +
// eps). CODED: of moments in 8 bits (lib/moment_codes.wgsl).
// X_BFLOAT, X_HALF: x is bf16 or f16, in words of two; subnormals are those of its type.
// Values are read as bits, since WGSL lets a compiler assume that floats are finite. A workgroup takes a part, in a
// fixed order; counts are summed in f32, which holds them exactly (ELEMENTS < 2^24).
struct Params { count: u32, first: u32, eps: f32 }
#if ${UPDATE}
#include lib/step_health.wgsl
var<storage, read> health: Health;
#if ${CODED}
var<storage, read> codes: array<vec2u>;
var<storage, read> maxima: array<vec2f>;
#else
var<storage, read> m: array<f32>;
var<storage, read> v: array<f32>;
#endif
#else
var<storage, read> x: array<u32>;
#endif
var<storage, read_write> report: array<u32>;
var<uniform> params: Params;

const EXPONENT = 0x7f800000u;
const MAGNITUDE = 0x7fffffffu;
// The smallest normal number of x's type, as bits of f32.
#if ${X_HALF}
const NORMAL = 0x38800000u;
#else
const NORMAL = 0x00800000u;
#endif

#include lib/reduce.wgsl
#if ${X_HALF}
#include lib/half.wgsl
#endif
#if ${UPDATE}
#if ${CODED}
#include lib/moment_codes.wgsl
fn mean_at(i: u32) -> f32 { return means_of(codes[i / 4u].x)[i % 4u] * maxima[i / 256u].x; }
fn variance_at(i: u32) -> f32 { return variances_of(codes[i / 4u].y)[i % 4u] * maxima[i / 256u].y; }
#else
fn mean_at(i: u32) -> f32 { return m[i]; }
fn variance_at(i: u32) -> f32 { return v[i]; }
#endif
#endif

fn value_bits(i: u32) -> u32 {
#if ${UPDATE}
  let root = sqrt(variance_at(i) * health.correction2);
  return bitcast<u32>(mean_at(i) * health.correction1 / (root + params.eps));
#else
#if ${X_BFLOAT}
  return (x[i / 2u] >> (16u * (i % 2u))) << 16u;
#elif ${X_HALF}
  return widened_halves((x[i / 2u] >> (16u * (i % 2u))) & 0xffffu);
#else
  return x[i];
#endif
#endif
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let part = workgroup.y * grid.x + workgroup.x;
  let begin = part * ELEMENTS;
  if (begin >= params.count) { return; }
  let end = min(begin + ELEMENTS, params.count);
  var largest = 0f;
  var squares = 0f;
  var zeros = 0f;
  var subnormals = 0f;
  var non_finite = 0f;
  for (var i = begin + thread; i < end; i += WORKGROUP) {
    let magnitude = value_bits(i) & MAGNITUDE;
    if (magnitude >= EXPONENT) {
      non_finite += 1f;
    } else {
      let value = bitcast<f32>(magnitude);
      largest = max(largest, value);
      squares = fma(value, value, squares);
      zeros += select(0f, 1f, magnitude == 0u);
      subnormals += select(0f, 1f, magnitude != 0u && magnitude < NORMAL);
    }
  }
  largest = reduce_max(largest, thread);
  squares = reduce_sum(squares, thread);
  zeros = reduce_sum(zeros, thread);
  subnormals = reduce_sum(subnormals, thread);
  non_finite = reduce_sum(non_finite, thread);
  if (thread == 0u) {
    let at = 5u * (params.first + part);
    report[at] = bitcast<u32>(largest);
    report[at + 1u] = bitcast<u32>(squares);
    report[at + 2u] = u32(zeros);
    report[at + 3u] = u32(subnormals);
    report[at + 4u] = u32(non_finite);
  }
}
