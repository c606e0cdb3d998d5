// silu(gate) * up, silu(g) = g / (1 + exp(-g)). exp(88) is finite in f32; beyond it silu is 0 to f32's precision.
// VALUE is f32 or a vector of it.
fn swiglu(gate: VALUE, up: VALUE) -> VALUE { return gate / (1f + exp(min(-gate, VALUE(88f)))) * up; }
