// Global gradient norm from its parts, the clip factor, and whether the step is sound.
//   norm = sqrt(sum_p partial[p]),  scale = min(1, clip / norm)  (clip = 0: no clipping)
// partial [P] as bits, see gradient_norm_partial. `loss` [1] as bits too. When a part or the loss is not finite,
// bad_step is set to the step's number and stays: AdamW then leaves the weights alone for good.
// One workgroup, in a fixed order, in f32.
struct Params { parts: u32, clip: f32 }
struct Schedule { learning_rate: f32, correction1: f32, correction2: f32, step: u32 }
struct Health { norm: f32, scale: f32, bad_step: u32, loss: u32 }

@group(0) @binding(0) var<storage, read> partial: array<u32>;
@group(0) @binding(1) var<storage, read> loss: array<u32>;
@group(0) @binding(2) var<storage, read> schedule: Schedule;
@group(0) @binding(3) var<storage, read_write> health: Health;
@group(0) @binding(4) var<uniform> params: Params;

const EXPONENT = 0x7f800000u;

${LIB_REDUCE}

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(local_invocation_index) thread: u32) {
  var sum = 0f;
  var bad = 0u;
  for (var p = thread; p < params.parts; p += ${WORKGROUP}u) {
    let bits = partial[p];
    bad |= select(0u, 1u, (bits & EXPONENT) == EXPONENT);
    sum += bitcast<f32>(bits);
  }
  let total = reduce_sum(sum, thread);
  let any_bad = reduce_or(bad, thread);
  if (thread != 0u) { return; }
  let overflow = (bitcast<u32>(total) & EXPONENT) == EXPONENT || (loss[0] & EXPONENT) == EXPONENT;
  if ((any_bad != 0u || overflow) && health.bad_step == 0u) { health.bad_step = schedule.step; }
  let norm = sqrt(total);
  health.norm = norm;
  health.scale = select(1f, params.clip / norm, params.clip > 0f && norm > params.clip);
  health.loss = loss[0];
}
