// Gradient of y = silu(gate) * up, elementwise over N: with s = 1 / (1 + exp(-gate)),
//   dup = dy * gate * s,   dgate = dy * up * s * (1 + gate * (1 - s)).  Written, not accumulated.
struct Params { count: u32 }

@group(0) @binding(0) var<storage, read> gate: array<f32>;
@group(0) @binding(1) var<storage, read> up: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dgate: array<f32>;
@group(0) @binding(4) var<storage, read_write> dup: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let i = (workgroup.y * grid.x + workgroup.x) * ${WORKGROUP}u + thread;
  if (i >= params.count) { return; }
  let g = gate[i];
  let sigmoid = 1f / (1f + exp(min(-g, 88f)));
  dup[i] = dy[i] * g * sigmoid;
  dgate[i] = dy[i] * up[i] * sigmoid * (1f + g * (1f - sigmoid));
}
