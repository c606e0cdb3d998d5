// Gradient of causal attention for the queries, and delta, which attention_backward_key_value needs:
//   delta[b, h, t] = dout[b, t, h] · out[b, t, h]
//   ds[t, j] = exp(scale * q[t] · k[j] - logsumexp[t]) * (dout[t] · v[j] - delta[t]),  j <= t
//   dq[t] = scale * sum_j ds[t, j] k[j]
// qkv, dqkv [B, T, H + 2 KV, D] (of dqkv the q part is written); out, dout [B, T, H, D]; logsumexp, delta [B, H, T] in
// f32, the others f32 or f16 (TYPE). The layout of work is that of
// attention_forward: a thread owns OWN query rows; key and value rows come by broadcast.
// With BEGINS a row sees keys from where lib/attention_begins.wgsl says on.
// IS_CAPPED: soft_cap(scale * q[t] · k[j]) stands in the place of scale * q[t] · k[j], and ds[t, j] is multiplied by
// its slope there too (lib/soft_cap.wgsl).
// Written, not accumulated; no atomics. Computed in f32.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

var<storage, read> qkv: array<TYPE>;
var<storage, read> out: array<TYPE>;
var<storage, read> logsumexp: array<f32>;
var<storage, read> dout: array<TYPE>;
var<storage, read_write> dqkv: array<TYPE>;
var<storage, read_write> delta: array<f32>;
var<uniform> params: Params;

#if ${BEGINS}
#include lib/attention_begins.wgsl
#endif
#if ${IS_CAPPED}
#include lib/soft_cap.wgsl
#endif
const D = HEAD_SIZE;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let T = params.T;
  let head = workgroup.y;
  let batch = workgroup.z;
  let stride = (params.H + 2u * params.KV) * D;
  let first = workgroup.x * LANES * OWN;
  let k_head = batch * T * stride + (params.H + head / (params.H / params.KV)) * D;
  let v_head = k_head + params.KV * D;
  #for r in OWN
  let t_${r} = first + ${r}u * LANES + thread;
  let row_${r} = batch * T + min(t_${r}, T - 1u);
  let q_row_${r} = row_${r} * stride + head * D;
  let out_row_${r} = (row_${r} * params.H + head) * D;
  let statistic_${r} = (batch * params.H + head) * T + min(t_${r}, T - 1u);
  let logsumexp_${r} = logsumexp[statistic_${r}];
#if ${BEGINS}
  let begin_${r} = begin_of(batch, t_${r});
#endif
  var delta_${r} = 0f;
  #for c in CHUNKS, l in LANES
  var q_${r}_${c}_${l} = 0f;
  var dout_${r}_${c}_${l} = 0f;
  var dq_${r}_${c}_${l} = 0f;
  if (${c}u * LANES + ${l}u < D) {
    q_${r}_${c}_${l} = f32(qkv[q_row_${r} + ${c}u * LANES + ${l}u]) * params.scale;
    dout_${r}_${c}_${l} = f32(dout[out_row_${r} + ${c}u * LANES + ${l}u]);
    delta_${r} = fma(dout_${r}_${c}_${l}, f32(out[out_row_${r} + ${c}u * LANES + ${l}u]), delta_${r});
  }
  #end
  #end
  let keys = min(first + LANES * OWN, T);
#if ${BEGINS}
  for (var j0 = begin_of(batch, first); j0 < keys; j0 += KEYS) {
#else
  for (var j0 = 0u; j0 < keys; j0 += KEYS) {
#endif
    #for j in KEYS
    let key_row_${j} = min(j0 + ${j}u, T - 1u) * stride;
    #for c in CHUNKS
    let k_lane_${j}_${c} = f32(qkv[k_head + key_row_${j} + min(${c}u * LANES + thread, D - 1u)]);
    let v_lane_${j}_${c} = f32(qkv[v_head + key_row_${j} + min(${c}u * LANES + thread, D - 1u)]);
    #end
    #end
    #for r in OWN, j in KEYS
    var score_${r}_${j} = 0f;
    var dp_${r}_${j} = 0f;
    #end
    #for c in CHUNKS, l in LANES, j in KEYS
    {
      let k = subgroupBroadcast(k_lane_${j}_${c}, ${l}u);
      let v = subgroupBroadcast(v_lane_${j}_${c}, ${l}u);
      #for r in OWN
      score_${r}_${j} = fma(q_${r}_${c}_${l}, k, score_${r}_${j});
      dp_${r}_${j} = fma(dout_${r}_${c}_${l}, v, dp_${r}_${j});
      #end
    }
    #end
    #for r in OWN, j in KEYS
    // a masked score may exceed logsumexp: keep exp's argument small, then drop the value
#if ${BEGINS}
    let visible_${r}_${j} = j0 + ${j}u <= t_${r} && j0 + ${j}u >= begin_${r};
#else
    let visible_${r}_${j} = j0 + ${j}u <= t_${r};
#endif
#if ${IS_CAPPED}
    score_${r}_${j} = soft_cap(score_${r}_${j});
#endif
    let exponent_${r}_${j} = select(0f, score_${r}_${j} - logsumexp_${r}, visible_${r}_${j});
    let p_${r}_${j} = select(0f, exp(exponent_${r}_${j}), visible_${r}_${j});
#if ${IS_CAPPED}
    let ds_${r}_${j} = p_${r}_${j} * (dp_${r}_${j} - delta_${r}) * soft_cap_slope(score_${r}_${j});
#else
    let ds_${r}_${j} = p_${r}_${j} * (dp_${r}_${j} - delta_${r});
#endif
    #end
    #for c in CHUNKS, l in LANES, j in KEYS
    {
      let k = subgroupBroadcast(k_lane_${j}_${c}, ${l}u);
      #for r in OWN
      dq_${r}_${c}_${l} = fma(ds_${r}_${j}, k, dq_${r}_${c}_${l});
      #end
    }
    #end
  }
  #for r in OWN
  if (t_${r} < T) {
    #for c in CHUNKS, l in LANES
    if (${c}u * LANES + ${l}u < D) {
      dqkv[q_row_${r} + ${c}u * LANES + ${l}u] = TYPE(dq_${r}_${c}_${l} * params.scale);
    }
    #end
    delta[statistic_${r}] = delta_${r};
  }
  #end
}
