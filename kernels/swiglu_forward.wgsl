// y = silu(gate) * up, silu(g) = g / (1 + exp(-g)), elementwise over N; a thread takes one element.
struct Params { count: u32 }

@group(0) @binding(0) var<storage, read> gate: array<f32>;
@group(0) @binding(1) var<storage, read> up: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let i = (workgroup.y * grid.x + workgroup.x) * ${WORKGROUP}u + thread;
  if (i >= params.count) { return; }
  // exp(88) is finite in f32; beyond it silu is 0 to f32's precision
  y[i] = gate[i] / (1f + exp(min(-gate[i], 88f))) * up[i];
}
