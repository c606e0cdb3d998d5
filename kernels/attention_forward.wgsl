// Causal attention with grouped-query heads, flash style: the T x T scores never exist in memory.
//   out[b, t, h] = sum_{j <= t} softmax_j(scale * q[b, t, h] · k[b, j, g]) v[b, j, g],   g = h / (H / KV)
//   logsumexp[b, h, t] = log sum_{j <= t} exp(scale * q · k)
// qkv [B, T, H + 2 KV, D] holds q, k and v side by side; out [B, T, H, D]; logsumexp f32, the others f32 or f16 (TYPE). A thread owns a query row (q and the output row in registers); a workgroup
// owns WORKGROUP rows of one head and walks over the keys, KEYS at a time, with a running maximum and sum.
// A key or value row reaches all threads either by SUBGROUPS: lane l loads dimensions l, l+LANES, … and broadcasts them
// (the workgroup is one subgroup), or through a tile in workgroup memory (LANES is D then, CHUNKS 1).
// Registers hold CHUNKS*LANES >= D dimensions; those beyond D are zero. Masked scores are a large finite number.
// Computed in f32.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

@group(0) @binding(0) var<storage, read> qkv: array<${TYPE}>;
@group(0) @binding(1) var<storage, read_write> out: array<${TYPE}>;
@group(0) @binding(2) var<storage, read_write> logsumexp: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const D = ${HEAD_SIZE}u;
const LANES = ${LANES}u;
const MASKED = -1e30f;
#if ${SUBGROUPS}
#else
var<workgroup> k_tile: array<f32, ${KEYS}u * D>;
var<workgroup> v_tile: array<f32, ${KEYS}u * D>;
#endif

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let T = params.T;
  let head = workgroup.y;
  let batch = workgroup.z;
  let stride = (params.H + 2u * params.KV) * D;
  let t = workgroup.x * ${WORKGROUP}u + thread;
  let row = batch * T + min(t, T - 1u);
  let q_row = row * stride + head * D;
  let k_head = batch * T * stride + (params.H + head / (params.H / params.KV)) * D;
  let v_head = k_head + params.KV * D;
  #for c in CHUNKS
  #for l in LANES
  var q_${c}_${l} = 0f;
  var out_${c}_${l} = 0f;
  if (${c}u * LANES + ${l}u < D) { q_${c}_${l} = f32(qkv[q_row + ${c}u * LANES + ${l}u]) * params.scale; }
  #end
  #end
  var largest = MASKED;
  var sum = 0f;
  let keys = min((workgroup.x + 1u) * ${WORKGROUP}u, T); // no row of this workgroup sees further
  for (var j0 = 0u; j0 < keys; j0 += ${KEYS}u) {
#if ${SUBGROUPS}
    #for j in KEYS
    let row_${j} = min(j0 + ${j}u, T - 1u) * stride;
    #for c in CHUNKS
    let k_${j}_${c} = f32(qkv[k_head + row_${j} + min(${c}u * LANES + thread, D - 1u)]);
    let v_${j}_${c} = f32(qkv[v_head + row_${j} + min(${c}u * LANES + thread, D - 1u)]);
    #end
    #end
#else
    workgroupBarrier();
    for (var i = thread; i < ${KEYS}u * D; i += ${WORKGROUP}u) {
      let at = min(j0 + i / D, T - 1u) * stride + i % D;
      k_tile[i] = f32(qkv[k_head + at]);
      v_tile[i] = f32(qkv[v_head + at]);
    }
    workgroupBarrier();
#endif
    #for j in KEYS
    var score_${j} = 0f;
    #end
    #for c in CHUNKS
    #for l in LANES
    #for j in KEYS
#if ${SUBGROUPS}
    score_${j} = fma(q_${c}_${l}, subgroupBroadcast(k_${j}_${c}, ${l}u), score_${j});
#else
    score_${j} = fma(q_${c}_${l}, k_tile[${j}u * D + ${c}u * LANES + ${l}u], score_${j});
#endif
    #end
    #end
    #end
    var largest_now = largest;
    #for j in KEYS
    score_${j} = select(MASKED, score_${j}, j0 + ${j}u <= t);
    largest_now = max(largest_now, score_${j});
    #end
    let correction = exp(largest - largest_now);
    largest = largest_now;
    sum *= correction;
    #for j in KEYS
    let p_${j} = exp(score_${j} - largest);
    sum += p_${j};
    #end
    #for c in CHUNKS
    #for l in LANES
    out_${c}_${l} *= correction;
    #for j in KEYS
#if ${SUBGROUPS}
    out_${c}_${l} = fma(p_${j}, subgroupBroadcast(v_${j}_${c}, ${l}u), out_${c}_${l});
#else
    out_${c}_${l} = fma(p_${j}, v_tile[${j}u * D + ${c}u * LANES + ${l}u], out_${c}_${l});
#endif
    #end
    #end
    #end
  }
  if (t >= T) { return; }
  let inverse = 1f / sum;
  let out_row = (row * params.H + head) * D;
  #for c in CHUNKS
  #for l in LANES
  if (${c}u * LANES + ${l}u < D) { out[out_row + ${c}u * LANES + ${l}u] = ${TYPE}(out_${c}_${l} * inverse); }
  #end
  #end
  logsumexp[(batch * params.H + head) * T + t] = largest + log(sum);
}
