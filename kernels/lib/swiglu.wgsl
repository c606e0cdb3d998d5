// silu(gate) * up, silu(g) = g / (1 + exp(-g)). exp(88) is finite in f32; beyond it silu is 0 to f32's precision.
fn swiglu(gate: f32, up: f32) -> f32 { return gate / (1f + exp(min(-gate, 88f))) * up; }
