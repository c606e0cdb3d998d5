// AdamW with decoupled weight decay (Loshchilov & Hutter, 2019) and the clip factor folded in, elementwise over N:
//   g = gradient * scale;  m ← β1 m + (1-β1) g;  v ← β2 v + (1-β2) g²
//   p ← p (1 - lr*decay) - lr * (m * correction1) / (sqrt(v * correction2) + eps)
// correction1 = 1/(1-β1^t), correction2 = 1/(1-β2^t), t counting the updates made (in f32: the steps). Does nothing
// once there was a bad step (health.bad_step ≠ 0), so that the weights stay those of the last good one, nor in a step
// that is skipped (health.skipped ≠ 0). All in f32, from a gradient in f32 or f16 (lib/gradient.wgsl); HALF: a copy of
// p in f16 is written too. A thread takes EACH vectors of VECTOR elements (N and kept are multiples of VECTOR).
// STAGED: the parameter is frozen at first, and has a schedule of its own, whose step counts its own updates and is 0
// as long as nothing is to change; the corrections are those of that count.
// rate: a factor of the learning rate, for this tensor. kept: its first elements, which nothing moves.
// complement = 1 - β, rounded once on the host: in f32 the difference would lose digits.
struct Params {
  count: u32, beta1: f32, beta2: f32, complement1: f32, complement2: f32, eps: f32, decay: f32, rate: f32, kept: u32
}
struct Schedule { learning_rate: f32, correction1: f32, correction2: f32, step: u32 }
#include lib/step_health.wgsl

var<storage, read> schedule: Schedule;
var<storage, read> health: Health;
#include lib/gradient.wgsl
var<storage, read_write> parameter: array<VALUE>;
var<storage, read_write> m: array<VALUE>;
var<storage, read_write> v: array<VALUE>;
#if ${HALF}
var<storage, read_write> half: array<HALF_VALUE>;
#endif
var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  if (health.bad_step != 0u || health.skipped != 0u) { return; }
  let first = (workgroup.y * grid.x + workgroup.x) * WORKGROUP * EACH + thread;
  let rate = params.rate * schedule.learning_rate;
#if ${STAGED}
  if (schedule.step == 0u) { return; }
  let correction1 = schedule.correction1;
  let correction2 = schedule.correction2;
#else
  let correction1 = health.correction1;
  let correction2 = health.correction2;
#endif
  for (var e = 0u; e < EACH; e++) {
    let i = first + e * WORKGROUP;
    if (i >= params.count / VECTOR) { return; }
    if (i < params.kept / VECTOR) { continue; }
    let g = bitcast<VALUE>(gradient_bits(i)) * health.scale;
    let mean = params.beta1 * m[i] + params.complement1 * g;
    let variance = params.beta2 * v[i] + params.complement2 * g * g;
    m[i] = mean;
    v[i] = variance;
    let update = mean * correction1 / (sqrt(variance * correction2) + params.eps);
    let updated = parameter[i] * (1f - rate * params.decay) - rate * update;
    parameter[i] = updated;
#if ${HALF}
    half[i] = HALF_VALUE(updated);
#endif
  }
}
