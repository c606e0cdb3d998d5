// Softmax cross-entropy of each row, fused with its gradient:
//   losses[r] = log(sum_v exp(logits[r, v])) - logits[r, target[r]]            (nats)
//   GRADIENT: logits[r, v] ← scale * (softmax(logits[r])[v] - [v = target[r]]), in place; SEPARATE: into dlogits.
//   SCALED: times loss_scale, too.
// logits [R, V], targets [R], losses [R]; dlogits [R, V] f32 or f16. A row whose target is IGNORED (0xffffffff) has
// loss 0 and gradient 0.
//   IS_CAPPED: logits are capped already (soft_cap), and their gradient is that of what they were before: times the
//   slope of lib/soft_cap.wgsl.
//   WEIGHTED: loss and gradient of a row times weights[r], [R]. A row of weight 0 has loss 0 and gradient 0.
//   HITS: hits[r] = 1 where logits[r, target[r]] is larger than every other logit of the row, else 0; [R]. Without
//   GRADIENT only.
// A workgroup takes ROWS rows, VECTOR elements of each at a time (V is a multiple of it), in three passes over a row:
// maximum, sum, gradient. Sums in f32.
struct Params { rows: u32, columns: u32, scale: f32 }

var<storage, read> targets: array<u32>;
var<storage, read_write> logits: array<VALUE>;
var<storage, read_write> losses: array<f32>;
#if ${WEIGHTED}
var<storage, read> weights: array<f32>;
#endif
#if ${SCALED}
var<storage, read> loss_scale: f32;
#endif
#if ${SEPARATE}
var<storage, read_write> dlogits: array<DLOGITS_VALUE>;
#endif
#if ${HITS}
var<storage, read_write> hits: array<f32>;
#endif
var<uniform> params: Params;

const IGNORED = 0xffffffffu;

#include lib/reduce.wgsl
#include lib/vector.wgsl
#if ${IS_CAPPED}
#include lib/soft_cap.wgsl
#endif

fn logit(at: u32) -> f32 {
#if ${IS_VECTOR}
  return logits[at / VECTOR][at % VECTOR];
#else
  return logits[at];
#endif
}

fn take_row(row: u32, thread: u32) {
  let V = params.columns / VECTOR;
  let start = row * V;
#if ${WEIGHTED}
  let is_target = targets[row] != IGNORED && weights[row] != 0f;
#else
  let is_target = targets[row] != IGNORED;
#endif
  let column = select(0u, targets[row], is_target);
  let target_logit = logit(row * params.columns + column);
  var most = VALUE(-3.4e38f);
  for (var v = thread; v < V; v += WORKGROUP) { most = max(most, logits[start + v]); }
  let largest = reduce_max(largest_of(most), thread);
#if ${HITS}
  var rivals = VALUE(-3.4e38f);
  for (var v = thread; v < V; v += WORKGROUP) {
    rivals = max(rivals, select(logits[start + v], VALUE(-3.4e38f), is_at(v * VECTOR, column)));
  }
  let rival = reduce_max(largest_of(rivals), thread);
  if (thread == 0u) { hits[row] = select(0f, 1f, is_target && target_logit > rival); }
#endif
  var exponentials = VALUE();
  for (var v = thread; v < V; v += WORKGROUP) { exponentials += exp(logits[start + v] - largest); }
  let sum = reduce_sum(total_of(exponentials), thread);
#if ${WEIGHTED}
  if (thread == 0u) { losses[row] = select(0f, (log(sum) + largest - target_logit) * weights[row], is_target); }
#else
  if (thread == 0u) { losses[row] = select(0f, log(sum) + largest - target_logit, is_target); }
#endif
#if ${GRADIENT}
#if ${WEIGHTED}
  let of_row = params.scale * weights[row];
#else
  let of_row = params.scale;
#endif
#if ${SCALED}
  let scale = select(0f, of_row * loss_scale, is_target);
#else
  let scale = select(0f, of_row, is_target);
#endif
  let factor = scale / sum;
  for (var v = thread; v < V; v += WORKGROUP) {
    let at = start + v;
    let probability = exp(logits[at] - largest) * factor;
#if ${IS_CAPPED}
    let gradient = select(probability, probability - scale, is_at(v * VECTOR, column)) * soft_cap_slope(logits[at]);
#else
    let gradient = select(probability, probability - scale, is_at(v * VECTOR, column));
#endif
#if ${SEPARATE}
    dlogits[at] = DLOGITS_VALUE(gradient);
#else
    logits[at] = gradient;
#endif
  }
#endif
}

#include lib/each_row.wgsl
