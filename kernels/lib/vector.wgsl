// VECTOR numbers at a time, 1 or 4, as a VALUE: the sum and the largest of them, and which is the one of an index,
// where the first has index `first`.
#if ${IS_VECTOR}
fn total_of(value: vec4f) -> f32 { return (value.x + value.y) + (value.z + value.w); }
fn largest_of(value: vec4f) -> f32 { return max(max(value.x, value.y), max(value.z, value.w)); }
fn is_at(first: u32, index: u32) -> vec4<bool> { return vec4u(first) + vec4u(0u, 1u, 2u, 3u) == vec4u(index); }
#else
fn total_of(value: f32) -> f32 { return value; }
fn largest_of(value: f32) -> f32 { return value; }
fn is_at(first: u32, index: u32) -> bool { return first == index; }
#endif
