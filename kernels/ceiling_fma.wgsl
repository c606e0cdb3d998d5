// What the adapter's lanes give at most: CHAINS independent chains of fused multiply-adds in registers, no memory in
// between. Thread i of N: x_c = c + i mod 64, then rounds * UNROLL times x_c = x_c * factor + addend; y[i] = Σ_c x_c.
// The host passes 1 and 1, so that every sum is a whole number that f32 holds, and the result is checked exactly.
struct Params { count: u32, rounds: u32, factor: f32, addend: f32 }

var<storage, read_write> y: array<f32>;
var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let i = (workgroup.y * grid.x + workgroup.x) * WORKGROUP + thread;
  let factor = params.factor;
  let addend = params.addend;
  #for c in CHAINS
  var x_${c} = f32(i % 64u + ${c}u);
  #end
  for (var round = 0u; round < params.rounds; round++) {
    #for u in UNROLL, c in CHAINS
    x_${c} = fma(x_${c}, factor, addend);
    #end
  }
  if (i >= params.count) { return; }
  var sum = 0f;
  #for c in CHAINS
  sum += x_${c};
  #end
  y[i] = sum;
}
