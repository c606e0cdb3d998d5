// Gradient of causal attention for keys and values:
//   p[t, j] = exp(scale * q[t] · k[j] - logsumexp[t]),   ds[t, j] = p[t, j] * (dout[t] · v[j] - delta[t]),   t >= j
//   dv[j] = sum_{h, t} p[t, j] dout[t],   dk[j] = scale * sum_{h, t} ds[t, j] q[t]
// over the query heads h of the group that shares this key/value head, so that nothing is added across workgroups.
// q, dout [B, T, H, D]; k, v, dk, dv [B, T, KV, D]; logsumexp, delta [B, H, T]. A thread owns a key row (k, v, dk, dv in
// registers); a workgroup owns WORKGROUP key rows of one head and walks over the queries, QUERIES at a time, which come
// by broadcast (SUBGROUPS) or through workgroup memory, as in attention_forward. Written, not accumulated. All in f32.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> logsumexp: array<f32>;
@group(0) @binding(4) var<storage, read> delta: array<f32>;
@group(0) @binding(5) var<storage, read> dout: array<f32>;
@group(0) @binding(6) var<storage, read_write> dk: array<f32>;
@group(0) @binding(7) var<storage, read_write> dv: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

const D = ${HEAD_SIZE}u;
const LANES = ${LANES}u;
#if ${SUBGROUPS}
#else
var<workgroup> q_tile: array<f32, ${QUERIES}u * D>;
var<workgroup> dout_tile: array<f32, ${QUERIES}u * D>;
#endif

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let T = params.T;
  let kv_head = workgroup.y;
  let group = params.H / params.KV;
  let batch = workgroup.z;
  let j = workgroup.x * ${WORKGROUP}u + thread;
  let row = ((batch * T + min(j, T - 1u)) * params.KV + kv_head) * D;
  #for c in CHUNKS
  #for l in LANES
  var k_${c}_${l} = 0f;
  var v_${c}_${l} = 0f;
  var dk_${c}_${l} = 0f;
  var dv_${c}_${l} = 0f;
  if (${c}u * LANES + ${l}u < D) {
    k_${c}_${l} = k[row + ${c}u * LANES + ${l}u] * params.scale;
    v_${c}_${l} = v[row + ${c}u * LANES + ${l}u];
  }
  #end
  #end
  for (var head = kv_head * group; head < (kv_head + 1u) * group; head++) {
    let statistics = (batch * params.H + head) * T;
    // queries before this workgroup's first key see none of its keys
    for (var t0 = workgroup.x * ${WORKGROUP}u; t0 < T; t0 += ${QUERIES}u) {
#if ${SUBGROUPS}
      #for i in QUERIES
      let row_${i} = ((batch * T + min(t0 + ${i}u, T - 1u)) * params.H + head) * D;
      #for c in CHUNKS
      let q_lane_${i}_${c} = q[row_${i} + min(${c}u * LANES + thread, D - 1u)];
      let dout_lane_${i}_${c} = dout[row_${i} + min(${c}u * LANES + thread, D - 1u)];
      #end
      #end
#else
      workgroupBarrier();
      for (var i = thread; i < ${QUERIES}u * D; i += ${WORKGROUP}u) {
        let at = ((batch * T + min(t0 + i / D, T - 1u)) * params.H + head) * D + i % D;
        q_tile[i] = q[at];
        dout_tile[i] = dout[at];
      }
      workgroupBarrier();
#endif
      #for i in QUERIES
      {
        let t = t0 + ${i}u;
        let visible = j <= t && t < T;
        var score = 0f;
        var dp = 0f;
        #for c in CHUNKS
        #for l in LANES
#if ${SUBGROUPS}
        let q_${c}_${l} = subgroupBroadcast(q_lane_${i}_${c}, ${l}u);
        let dout_${c}_${l} = subgroupBroadcast(dout_lane_${i}_${c}, ${l}u);
#else
        let q_${c}_${l} = q_tile[${i}u * D + ${c}u * LANES + ${l}u];
        let dout_${c}_${l} = dout_tile[${i}u * D + ${c}u * LANES + ${l}u];
#endif
        score = fma(q_${c}_${l}, k_${c}_${l}, score);
        dp = fma(dout_${c}_${l}, v_${c}_${l}, dp);
        #end
        #end
        let statistic = statistics + min(t, T - 1u);
        let p = select(0f, exp(select(0f, score - logsumexp[statistic], visible)), visible);
        let ds = p * (dp - delta[statistic]);
        #for c in CHUNKS
        #for l in LANES
        dv_${c}_${l} = fma(p, dout_${c}_${l}, dv_${c}_${l});
        dk_${c}_${l} = fma(ds, q_${c}_${l}, dk_${c}_${l});
        #end
        #end
      }
      #end
    }
  }
  if (j >= T) { return; }
  #for c in CHUNKS
  #for l in LANES
  if (${c}u * LANES + ${l}u < D) {
    dk[row + ${c}u * LANES + ${l}u] = dk_${c}_${l} * params.scale;
    dv[row + ${c}u * LANES + ${l}u] = dv_${c}_${l};
  }
  #end
  #end
}
