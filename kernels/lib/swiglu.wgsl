// silu(gate) * up, silu(g) = g / (1 + exp(-g)). exp(88) is finite in f32; beyond it silu is 0 to f32's precision.
// GELU: gelu(gate) * up, where gelu(g) = g/2 * (1 + tanh(sqrt(2/pi) * (g + 0.044715 g³))) is g / (1 + exp(-a(g))) with
// a(g) = 2 sqrt(2/pi) * (g + 0.044715 g³). Beyond ±12 gelu is g, or 0, to f32's precision: so far goes the cube, which
// could overflow.
// VALUE is f32 or a vector of it.
#if ${GELU}
const GELU_LINEAR = 1.5957691216057308f;
const GELU_CUBIC = 0.07135481627260025f;
fn within_gelu(gate: VALUE) -> VALUE { return clamp(gate, VALUE(-12f), VALUE(12f)); }
fn exp_of_gate(gate: VALUE) -> VALUE {
  let g = within_gelu(gate);
  return exp(min(-g * (GELU_LINEAR + GELU_CUBIC * g * g), VALUE(88f)));
}
fn swiglu(gate: VALUE, up: VALUE) -> VALUE { return gate / (1f + exp_of_gate(gate)) * up; }
#else
fn swiglu(gate: VALUE, up: VALUE) -> VALUE { return gate / (1f + exp(min(-gate, VALUE(88f)))) * up; }
#endif
