// Global gradient norm from its parts, the factor that gradients are to be multiplied by, and whether the step is
// sound.
//   norm = sqrt(sum_p partial[p]) / loss_scale,  scale = min(1, clip / norm) / loss_scale   (clip = 0: no clipping)
// partial [P] as bits, see gradient_norm_partial. `loss` [1] as bits too. A step is skipped, AdamW then does nothing,
// when a part or the loss is not finite (NOT_FINITE), or the norm is above `spike` times its running mean over the last
// updates (SPIKE; spike = 0: never; after MEAN_AFTER updates). After more than `most_skipped` such steps in a row,
// bad_step is set to the step's number and stays: AdamW then leaves the weights alone for good.
// LOSS_SCALING (f16 gradients; Micikevicius et al., 2018): gradients that are not finite have overflowed (OVERFLOW).
// The step is skipped and loss_scale halved; it is doubled after `growth_interval` good steps in a row. Such steps are
// not counted, but a scale below 1 is a bad step. β^t is kept here then, since t counts the steps that were not
// skipped.
// STAGED: so are the powers of parameters that are frozen at first, for each of STAGES ends of that; the corrections go
// into their own schedules, of which each begins at 256 bytes.
// One workgroup, in a fixed order, in f32.
struct Params {
  parts: u32, clip: f32, most_skipped: u32, spike: f32,
  growth_interval: u32, beta1: f32, beta2: f32,
}
struct Schedule { learning_rate: f32, correction1: f32, correction2: f32, step: u32 }
#include lib/step_health.wgsl

var<storage, read> partial: array<u32>;
var<storage, read> loss: array<u32>;
var<storage, read> schedule: Schedule;
var<storage, read_write> health: Health;
// What steps are judged by: the steps skipped in a row, the updates made, the running mean of their norms.
struct Guard { in_row: u32, updates: u32, mean_norm: f32, unused: u32 }
var<storage, read_write> guard: Guard;
#if ${LOSS_SCALING}
#if ${STAGED}
struct Scaler { loss_scale: f32, good_steps: u32, power1: f32, power2: f32, stages: array<vec2f, STAGES> }
var<storage, read_write> stage_schedules: array<Schedule>;
#else
struct Scaler { loss_scale: f32, good_steps: u32, power1: f32, power2: f32 }
#endif
var<storage, read_write> scaler: Scaler;
#endif
var<uniform> params: Params;

const EXPONENT = 0x7f800000u;
const LARGEST_SCALE = 16777216f;
const OVERFLOW = 1u;
const NOT_FINITE = 2u;
const SPIKE = 3u;
const MEAN_AFTER = 20u;
const MEAN_OVER = 50u;
#if ${STAGED}
const SCHEDULE_STRIDE = 16u;
#endif

fn is_finite(bits: u32) -> bool { return (bits & EXPONENT) != EXPONENT; }

#include lib/reduce.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) thread: u32) {
  var sum = 0f;
  var bad = 0u;
  for (var p = thread; p < params.parts; p += WORKGROUP) {
    let bits = partial[p];
    bad |= select(1u, 0u, is_finite(bits));
    sum += bitcast<f32>(bits);
  }
  let total = reduce_sum(sum, thread);
  let any_bad = reduce_or(bad, thread);
  if (thread != 0u) { return; }
  let loss_is_finite = is_finite(loss[0]);
  let gradients_are_finite = any_bad == 0u && is_finite(bitcast<u32>(total));
  health.loss = loss[0];
#if ${LOSS_SCALING}
  let loss_scale = scaler.loss_scale;
#else
  let loss_scale = 1f;
#endif
  health.loss_scale = loss_scale;
  let norm = sqrt(total) / loss_scale;
  let spikes = params.spike > 0f && guard.updates >= MEAN_AFTER && norm > params.spike * guard.mean_norm;
  var skipped = select(0u, SPIKE, spikes);
#if ${LOSS_SCALING}
  if (!gradients_are_finite) { skipped = OVERFLOW; }
#else
  if (!gradients_are_finite) { skipped = NOT_FINITE; }
#endif
  if (!loss_is_finite) { skipped = NOT_FINITE; }
  health.skipped = skipped;
  if (skipped == 0u) {
    guard.in_row = 0u;
    guard.updates += 1u;
    guard.mean_norm += (norm - guard.mean_norm) / f32(min(guard.updates, MEAN_OVER));
  } else if (skipped != OVERFLOW) {
    guard.in_row += 1u;
  }
#if ${LOSS_SCALING}
  if (gradients_are_finite) {
    scaler.good_steps += 1u;
    if (scaler.good_steps >= params.growth_interval) {
      scaler.loss_scale = min(2f * loss_scale, LARGEST_SCALE);
      scaler.good_steps = 0u;
    }
  } else {
    scaler.loss_scale = 0.5f * loss_scale;
    scaler.good_steps = 0u;
  }
  if (skipped == 0u) {
    scaler.power1 *= params.beta1;
    scaler.power2 *= params.beta2;
  }
  health.correction1 = 1f / (1f - scaler.power1);
  health.correction2 = 1f / (1f - scaler.power2);
#if ${STAGED}
  for (var s = 0u; s < STAGES; s++) {
    if (skipped != 0u || stage_schedules[SCHEDULE_STRIDE * s].step == 0u) { continue; }
    let powers = scaler.stages[s] * vec2f(params.beta1, params.beta2);
    scaler.stages[s] = powers;
    stage_schedules[SCHEDULE_STRIDE * s].correction1 = 1f / (1f - powers.x);
    stage_schedules[SCHEDULE_STRIDE * s].correction2 = 1f / (1f - powers.y);
  }
#endif
  let is_bad = guard.in_row > params.most_skipped || scaler.loss_scale < 1f;
#else
  health.correction1 = schedule.correction1;
  health.correction2 = schedule.correction2;
  let is_bad = guard.in_row > params.most_skipped;
#endif
  if (is_bad && health.bad_step == 0u) { health.bad_step = schedule.step; }
  health.norm = norm;
  health.scale = select(1f, params.clip / norm, params.clip > 0f && norm > params.clip) / loss_scale;
}
