// AdamW as in adamw.wgsl, with both moments in 8 bits (lib/moment_codes.wgsl). A workgroup takes a block of 256
// elements: it widens their moments, updates them and the parameters in f32, finds the new largest magnitudes of the
// block, and rounds the moments to codes of these. The parameters go by the moments before they are rounded.
// codes: for each four elements a word of four codes of m, the first in the lowest byte, and one of v.
// maxima: for each block the largest |m| and the largest v.
// PARAMETER_BFLOAT: the parameters, an even number, are bf16 in words of two, rounded by chance
// (lib/stochastic_rounding.wgsl) with `salt`, the tensor's, and `first`, the quads before this window; the f16 copy is
// one of what they are rounded to.
// kept: the first elements of this window, which nothing moves; their gradients count as 0.
// A thread takes QUADS times four elements, in vectors where N is a multiple of 4 (IS_VECTOR). What is beyond N in the
// last four is taken for 0, and has its codes.
struct Params {
  count: u32, beta1: f32, beta2: f32, complement1: f32, complement2: f32, eps: f32, decay: f32, rate: f32, kept: u32,
  salt: u32, first: u32
}
struct Schedule { learning_rate: f32, correction1: f32, correction2: f32, step: u32 }
#include lib/step_health.wgsl

var<storage, read> schedule: Schedule;
var<storage, read> health: Health;
#include lib/gradient.wgsl
#if ${PARAMETER_BFLOAT}
var<storage, read_write> parameter: array<WORDS>;
#else
var<storage, read_write> parameter: array<VALUE>;
#endif
var<storage, read_write> codes: array<vec2u>;
var<storage, read_write> maxima: array<vec2f>;
#if ${HALF}
var<storage, read_write> half: array<HALF_VALUE>;
#endif
var<uniform> params: Params;

#include lib/reduce.wgsl
#include lib/moment_codes.wgsl
#if ${PARAMETER_BFLOAT}
#include lib/stochastic_rounding.wgsl
#endif

fn largest_of_four(four: vec4f) -> f32 { return max(max(four.x, four.y), max(four.z, four.w)); }

fn load_gradient(quad: u32) -> vec4f {
#if ${IS_VECTOR}
  return bitcast<vec4f>(gradient_bits(quad));
#else
  var four = vec4f();
  #for e in 4
  if (4u * quad + ${e}u < params.count) { four[${e}] = bitcast<f32>(gradient_bits(4u * quad + ${e}u)); }
  #end
  return four;
#endif
}

#if ${PARAMETER_BFLOAT}
fn widened(words: vec2u) -> vec4f { return vec4f(unpack2x16bfloat(words.x), unpack2x16bfloat(words.y)); }

fn load_parameter(quad: u32) -> vec4f {
#if ${IS_VECTOR}
  return widened(parameter[quad]);
#else
  var words = vec2u(parameter[2u * quad], 0u);
  if (4u * quad + 2u < params.count) { words.y = parameter[2u * quad + 1u]; }
  return widened(words);
#endif
}

// Returns what is stored.
fn store_words(quad: u32, four: vec4f) -> vec4f {
  let words = rounded_by_chance(four, params.first + quad, scrambled(schedule.step) + params.salt);
#if ${IS_VECTOR}
  parameter[quad] = words;
#else
  parameter[2u * quad] = words.x;
  if (4u * quad + 2u < params.count) { parameter[2u * quad + 1u] = words.y; }
#endif
  return widened(words);
}
#else
fn load_parameter(quad: u32) -> vec4f {
#if ${IS_VECTOR}
  return parameter[quad];
#else
  var four = vec4f();
  #for e in 4
  if (4u * quad + ${e}u < params.count) { four[${e}] = parameter[4u * quad + ${e}u]; }
  #end
  return four;
#endif
}
#endif

fn store_parameter(quad: u32, updated: vec4f) {
#if ${PARAMETER_BFLOAT}
  let four = store_words(quad, updated);
#else
  let four = updated;
#if ${IS_VECTOR}
  parameter[quad] = four;
#else
  #for e in 4
  if (4u * quad + ${e}u < params.count) { parameter[4u * quad + ${e}u] = four[${e}]; }
  #end
#endif
#endif
#if ${HALF}
#if ${IS_VECTOR}
  half[quad] = HALF_VALUE(four);
#else
  #for e in 4
  if (4u * quad + ${e}u < params.count) { half[4u * quad + ${e}u] = HALF_VALUE(four[${e}]); }
  #end
#endif
#endif
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  if (health.bad_step != 0u || health.skipped != 0u) { return; }
#if ${STAGED}
  if (schedule.step == 0u) { return; }
  let correction1 = schedule.correction1;
  let correction2 = schedule.correction2;
#else
  let correction1 = health.correction1;
  let correction2 = health.correction2;
#endif
  let block = workgroup.y * grid.x + workgroup.x;
  if (4u * QUADS_OF_BLOCK * block >= params.count) { return; }
  let first = QUADS_OF_BLOCK * block + thread;
  let rate = params.rate * schedule.learning_rate;
  let before = maxima[block];
  var means: array<vec4f, QUADS>;
  var variances: array<vec4f, QUADS>;
  var largest = vec2f();
  for (var q = 0u; q < QUADS; q++) {
    let quad = first + q * WORKGROUP;
    if (4u * quad >= params.count) { break; }
    let old = codes[quad];
    let is_kept = vec4u(4u * quad) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.kept);
    let g = select(load_gradient(quad) * health.scale, vec4f(), is_kept);
    let mean = params.beta1 * (means_of(old.x) * before.x) + params.complement1 * g;
    let variance = params.beta2 * (variances_of(old.y) * before.y) + params.complement2 * g * g;
    means[q] = mean;
    variances[q] = variance;
    largest = max(largest, vec2f(largest_of_four(abs(mean)), largest_of_four(variance)));
    let update = mean * correction1 / (sqrt(variance * correction2) + vec4f(params.eps));
    let parameter = load_parameter(quad);
    store_parameter(quad, select(parameter * (1f - rate * params.decay) - rate * update, parameter, is_kept));
  }
  largest.x = reduce_max(largest.x, thread);
  largest.y = reduce_max(largest.y, thread);
  for (var q = 0u; q < QUADS; q++) {
    let quad = first + q * WORKGROUP;
    if (4u * quad >= params.count) { break; }
    codes[quad] = vec2u(word_of_means(means[q], largest.x), word_of_variances(variances[q], largest.y));
  }
  if (thread == 0u) { maxima[block] = select(vec2f(), largest, largest >= vec2f(SMALLEST)); }
}
