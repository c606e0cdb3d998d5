// Gradient of causal attention for the queries, and delta, which attention_backward_key_value needs:
//   delta[b, h, t] = dout[b, t, h] · out[b, t, h]
//   ds[t, j] = exp(scale * q[t] · k[j] - logsumexp[t]) * (dout[t] · v[j] - delta[t]),  j <= t
//   dq[t] = scale * sum_j ds[t, j] k[j]
// qkv, dqkv [B, T, H + 2 KV, D] (of dqkv the q part is written); out, dout [B, T, H, D]; logsumexp, delta [B, H, T] in f32,
// the others f32 or f16 (TYPE). The layout of work is that of
// attention_forward: a thread owns a query row; key and value rows come by broadcast or through workgroup memory.
// Written, not accumulated; no atomics. Computed in f32.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

@group(0) @binding(0) var<storage, read> qkv: array<${TYPE}>;
@group(0) @binding(1) var<storage, read> out: array<${TYPE}>;
@group(0) @binding(2) var<storage, read> logsumexp: array<f32>;
@group(0) @binding(3) var<storage, read> dout: array<${TYPE}>;
@group(0) @binding(4) var<storage, read_write> dqkv: array<${TYPE}>;
@group(0) @binding(5) var<storage, read_write> delta: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

const D = ${HEAD_SIZE}u;
const LANES = ${LANES}u;
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
  let out_row = (row * params.H + head) * D;
  let k_head = batch * T * stride + (params.H + head / (params.H / params.KV)) * D;
  let v_head = k_head + params.KV * D;
  let statistic = (batch * params.H + head) * T + min(t, T - 1u);
  var row_delta = 0f;
  #for c in CHUNKS
  #for l in LANES
  var q_${c}_${l} = 0f;
  var dout_${c}_${l} = 0f;
  var dq_${c}_${l} = 0f;
  if (${c}u * LANES + ${l}u < D) {
    q_${c}_${l} = f32(qkv[q_row + ${c}u * LANES + ${l}u]) * params.scale;
    dout_${c}_${l} = f32(dout[out_row + ${c}u * LANES + ${l}u]);
    row_delta = fma(dout_${c}_${l}, f32(out[out_row + ${c}u * LANES + ${l}u]), row_delta);
  }
  #end
  #end
  let row_logsumexp = logsumexp[statistic];
  let keys = min((workgroup.x + 1u) * ${WORKGROUP}u, T);
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
    var dp_${j} = 0f;
    #end
    #for c in CHUNKS
    #for l in LANES
    #for j in KEYS
#if ${SUBGROUPS}
    score_${j} = fma(q_${c}_${l}, subgroupBroadcast(k_${j}_${c}, ${l}u), score_${j});
    dp_${j} = fma(dout_${c}_${l}, subgroupBroadcast(v_${j}_${c}, ${l}u), dp_${j});
#else
    score_${j} = fma(q_${c}_${l}, k_tile[${j}u * D + ${c}u * LANES + ${l}u], score_${j});
    dp_${j} = fma(dout_${c}_${l}, v_tile[${j}u * D + ${c}u * LANES + ${l}u], dp_${j});
#endif
    #end
    #end
    #end
    #for j in KEYS
    // a masked score may exceed logsumexp: keep exp's argument small, then drop the value
    let visible_${j} = j0 + ${j}u <= t;
    let p_${j} = select(0f, exp(select(0f, score_${j} - row_logsumexp, visible_${j})), visible_${j});
    let ds_${j} = p_${j} * (dp_${j} - row_delta);
    #end
    #for c in CHUNKS
    #for l in LANES
    #for j in KEYS
#if ${SUBGROUPS}
    dq_${c}_${l} = fma(ds_${j}, subgroupBroadcast(k_${j}_${c}, ${l}u), dq_${c}_${l});
#else
    dq_${c}_${l} = fma(ds_${j}, k_tile[${j}u * D + ${c}u * LANES + ${l}u], dq_${c}_${l});
#endif
    #end
    #end
    #end
  }
  if (t >= T) { return; }
  #for c in CHUNKS
  #for l in LANES
  if (${c}u * LANES + ${l}u < D) { dqkv[q_row + ${c}u * LANES + ${l}u] = ${TYPE}(dq_${c}_${l} * params.scale); }
  #end
  #end
  delta[statistic] = row_delta;
}
