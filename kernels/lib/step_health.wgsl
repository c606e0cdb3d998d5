// What gradient_norm says of a step, and the kernels behind it go by: the norm, what gradients are multiplied by, the
// step that was one too many to skip (0: none), the loss as bits, the loss scale, why the step is skipped (0: it is
// not), and AdamW's bias corrections.
struct Health {
  norm: f32, scale: f32, bad_step: u32, loss: u32,
  loss_scale: f32, skipped: u32, correction1: f32, correction2: f32,
}
