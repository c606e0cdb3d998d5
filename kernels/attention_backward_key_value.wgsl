// Gradient of causal attention for keys and values:
//   p[t, j] = exp(scale * q[t] · k[j] - logsumexp[t]),   ds[t, j] = p[t, j] * (dout[t] · v[j] - delta[t]),   t >= j
//   dv[j] = sum_{h, t} p[t, j] dout[t],   dk[j] = scale * sum_{h, t} ds[t, j] q[t]
// over the query heads h of the group that shares this key/value head, so that nothing is added across workgroups.
// qkv, dqkv [B, T, H + 2 KV, D] (of dqkv the k and v parts are written); dout [B, T, H, D]; logsumexp, delta [B, H, T]
// in f32, the others f32 or f16 (TYPE). A thread owns OWN key rows (k, v, dk, dv in
// registers); a workgroup owns LANES*OWN key rows of one head and walks over the queries, QUERIES at a time, which
// come by broadcast, as in attention_forward. Written, not accumulated.
// With BEGINS queries see keys from where lib/attention_begins.wgsl says on.
// IS_CAPPED: soft_cap(scale * q[t] · k[j]) stands in the place of scale * q[t] · k[j], and ds[t, j] is multiplied by
// its slope there too (lib/soft_cap.wgsl).
// Computed in f32.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

var<storage, read> qkv: array<TYPE>;
var<storage, read> logsumexp: array<f32>;
var<storage, read> delta: array<f32>;
var<storage, read> dout: array<TYPE>;
var<storage, read_write> dqkv: array<TYPE>;
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
  let H = params.H;
  let kv_head = workgroup.y;
  let group = H / params.KV;
  let batch = workgroup.z;
  let stride = (H + 2u * params.KV) * D;
  let first = workgroup.x * LANES * OWN;
#if ${BEGINS}
  let last = min(first + LANES * OWN, T) - 1u;
#endif
  #for r in OWN
  let j_${r} = first + ${r}u * LANES + thread;
  let k_row_${r} = (batch * T + min(j_${r}, T - 1u)) * stride + (H + kv_head) * D;
  let v_row_${r} = k_row_${r} + params.KV * D;
  #for c in CHUNKS, l in LANES
  var k_${r}_${c}_${l} = 0f;
  var v_${r}_${c}_${l} = 0f;
  var dk_${r}_${c}_${l} = 0f;
  var dv_${r}_${c}_${l} = 0f;
  if (${c}u * LANES + ${l}u < D) {
    k_${r}_${c}_${l} = f32(qkv[k_row_${r} + ${c}u * LANES + ${l}u]) * params.scale;
    v_${r}_${c}_${l} = f32(qkv[v_row_${r} + ${c}u * LANES + ${l}u]);
  }
  #end
  #end
  for (var head = kv_head * group; head < (kv_head + 1u) * group; head++) {
    let statistics = (batch * H + head) * T;
    let q_head = batch * T * stride + head * D;
    let dout_head = (batch * T * H + head) * D;
    // queries before this workgroup's first key see none of its keys
#if ${BEGINS}
    // nor do queries that see only what is behind its last key
    for (var t0 = first; t0 < T && begin_of(batch, t0) <= last; t0 += QUERIES) {
#else
    for (var t0 = first; t0 < T; t0 += QUERIES) {
#endif
      #for i in QUERIES
      let row_${i} = min(t0 + ${i}u, T - 1u);
      #for c in CHUNKS
      let q_lane_${i}_${c} = f32(qkv[q_head + row_${i} * stride + min(${c}u * LANES + thread, D - 1u)]);
      let dout_lane_${i}_${c} = f32(dout[dout_head + row_${i} * H * D + min(${c}u * LANES + thread, D - 1u)]);
      #end
      #end
      #for r in OWN, i in QUERIES
      var score_${r}_${i} = 0f;
      var dp_${r}_${i} = 0f;
      #end
      #for c in CHUNKS, l in LANES, i in QUERIES
      {
        let q = subgroupBroadcast(q_lane_${i}_${c}, ${l}u);
        let gradient = subgroupBroadcast(dout_lane_${i}_${c}, ${l}u);
        #for r in OWN
        score_${r}_${i} = fma(q, k_${r}_${c}_${l}, score_${r}_${i});
        dp_${r}_${i} = fma(gradient, v_${r}_${c}_${l}, dp_${r}_${i});
        #end
      }
      #end
      #for i in QUERIES
      let statistic_${i} = statistics + min(t0 + ${i}u, T - 1u);
      let logsumexp_${i} = logsumexp[statistic_${i}];
      let delta_${i} = delta[statistic_${i}];
#if ${BEGINS}
      let begin_${i} = begin_of(batch, t0 + ${i}u);
#endif
      #for r in OWN
#if ${BEGINS}
      let visible_${r}_${i} = j_${r} <= t0 + ${i}u && t0 + ${i}u < T && j_${r} >= begin_${i};
#else
      let visible_${r}_${i} = j_${r} <= t0 + ${i}u && t0 + ${i}u < T;
#endif
#if ${IS_CAPPED}
      score_${r}_${i} = soft_cap(score_${r}_${i});
#endif
      let exponent_${r}_${i} = select(0f, score_${r}_${i} - logsumexp_${i}, visible_${r}_${i});
      let p_${r}_${i} = select(0f, exp(exponent_${r}_${i}), visible_${r}_${i});
#if ${IS_CAPPED}
      let ds_${r}_${i} = p_${r}_${i} * (dp_${r}_${i} - delta_${i}) * soft_cap_slope(score_${r}_${i});
#else
      let ds_${r}_${i} = p_${r}_${i} * (dp_${r}_${i} - delta_${i});
#endif
      #end
      #end
      #for c in CHUNKS, l in LANES, i in QUERIES
      {
        let q = subgroupBroadcast(q_lane_${i}_${c}, ${l}u);
        let gradient = subgroupBroadcast(dout_lane_${i}_${c}, ${l}u);
        #for r in OWN
        dv_${r}_${c}_${l} = fma(p_${r}_${i}, gradient, dv_${r}_${c}_${l});
        dk_${r}_${c}_${l} = fma(ds_${r}_${i}, q, dk_${r}_${c}_${l});
        #end
      }
      #end
    }
  }
  #for r in OWN
  if (j_${r} < T) {
    #for c in CHUNKS, l in LANES
    if (${c}u * LANES + ${l}u < D) {
      dqkv[k_row_${r} + ${c}u * LANES + ${l}u] = TYPE(dk_${r}_${c}_${l} * params.scale);
      dqkv[v_row_${r} + ${c}u * LANES + ${l}u] = TYPE(dv_${r}_${c}_${l});
    }
    #end
  }
  #end
}
