// Causal attention with grouped-query heads, flash style: the T x T scores never exist in memory.
//   out[b, t, h] = sum_{j <= t} softmax_j(scale * q[b, t, h] · k[b, j, g]) v[b, j, g],   g = h / (H / KV)
//   logsumexp[b, h, t] = log sum_{j <= t} exp(scale * q · k)
// qkv [B, T, H + 2 KV, D] holds q, k and v side by side; out [B, T, H, D]; logsumexp f32, the others f32 or f16 (TYPE).
// A thread owns OWN query rows (q and the output rows in registers); a workgroup owns LANES*OWN rows of one head
// and walks over the keys, KEYS at a time, with a running maximum and sum.
// A key or value row reaches all threads by broadcast: lane l loads dimensions l, l+LANES, …; the workgroup is one
// subgroup.
// With BRANCHES several sequences that begin alike are one: a trunk, then what follows it in each, a branch. branches
// [B, T, 2] has for each row how many keys are its trunk's, and where its branch begins; both are multiples of KEYS,
// and 0 on the trunk. A row sees trunk and branch, in blocks of the keys that its sequence alone would have, to the
// same bits.
// IS_CAPPED: softmax and sum are of soft_cap(scale * q · k) in the place of scale * q · k (lib/soft_cap.wgsl).
// With DOCUMENTS a row sees its own document alone (lib/attention_begins.wgsl), in the blocks of keys that the document
// alone would have, to the same bits; IS_LOCAL, it sees the newest WINDOW keys alone.
// Registers hold CHUNKS*LANES >= D dimensions; those beyond D are zero. Masked scores are a large finite number.
// Computed in f32.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

var<storage, read> qkv: array<TYPE>;
var<storage, read_write> out: array<TYPE>;
var<storage, read_write> logsumexp: array<f32>;
#if ${BRANCHES}
var<storage, read> branches: array<vec2u>;
#endif
var<uniform> params: Params;

#if ${BEGINS}
#include lib/attention_begins.wgsl
#endif
#if ${IS_CAPPED}
#include lib/soft_cap.wgsl
#endif
const D = HEAD_SIZE;
const MASKED = -1e30f;

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
#if ${BRANCHES}
  let branch_${r} = branches[row_${r}];
#endif
#if ${BEGINS}
  let document_${r} = document_of(batch, t_${r});
#endif
#if ${IS_LOCAL}
  let begin_${r} = begin_of(batch, t_${r});
#endif
  var largest_${r} = MASKED;
  var sum_${r} = 0f;
  #for c in CHUNKS, l in LANES
  var q_${r}_${c}_${l} = 0f;
  var out_${r}_${c}_${l} = 0f;
  if (${c}u * LANES + ${l}u < D) { q_${r}_${c}_${l} = f32(qkv[q_row_${r} + ${c}u * LANES + ${l}u]) * params.scale; }
  #end
  #end
  let keys = min(first + LANES * OWN, T); // no row of this workgroup sees further
#if ${BRANCHES}
  let nearest = branches[batch * T + first]; // no row of this workgroup sees what is between its trunk and its branch
#endif
#if ${BEGINS}
  for (var j0 = first_block(batch, first, KEYS); j0 < keys; j0 = next_block(batch, j0, KEYS)) {
#else
  for (var j0 = 0u; j0 < keys; j0 += KEYS) {
#endif
#if ${BRANCHES}
    if (j0 == nearest.x) { j0 = nearest.y; }
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
    #end
    #for c in CHUNKS, l in LANES, j in KEYS
    {
      let k = subgroupBroadcast(k_lane_${j}_${c}, ${l}u);
      #for r in OWN
      score_${r}_${j} = fma(q_${r}_${c}_${l}, k, score_${r}_${j});
      #end
    }
    #end
    #for r in OWN
    var largest_now_${r} = largest_${r};
    #for j in KEYS
#if ${IS_CAPPED}
    score_${r}_${j} = soft_cap(score_${r}_${j});
#endif
#if ${BRANCHES}
    score_${r}_${j} = select(MASKED, score_${r}_${j}, j0 + ${j}u < branch_${r}.x || j0 + ${j}u >= branch_${r}.y);
#endif
#if ${IS_LOCAL}
    let visible_${r}_${j} = j0 + ${j}u <= t_${r} && document_${r} <= j0 && begin_${r} <= j0 + ${j}u;
    score_${r}_${j} = select(MASKED, score_${r}_${j}, visible_${r}_${j});
#elif ${DOCUMENTS}
    let visible_${r}_${j} = j0 + ${j}u <= t_${r} && document_${r} <= j0;
    score_${r}_${j} = select(MASKED, score_${r}_${j}, visible_${r}_${j});
#else
    score_${r}_${j} = select(MASKED, score_${r}_${j}, j0 + ${j}u <= t_${r});
#endif
    largest_now_${r} = max(largest_now_${r}, score_${r}_${j});
    #end
    let correction_${r} = exp(largest_${r} - largest_now_${r});
    largest_${r} = largest_now_${r};
    sum_${r} *= correction_${r};
    #for j in KEYS
#if ${BEGINS}
    // a row that sees only what is further on has seen nothing yet
    let p_${r}_${j} = select(0f, exp(score_${r}_${j} - largest_${r}), visible_${r}_${j});
#else
    let p_${r}_${j} = exp(score_${r}_${j} - largest_${r});
#endif
    sum_${r} += p_${r}_${j};
    #end
    #end
    #for c in CHUNKS, l in LANES
    #for r in OWN
    out_${r}_${c}_${l} *= correction_${r};
    #end
    #for j in KEYS
    {
      let v = subgroupBroadcast(v_lane_${j}_${c}, ${l}u);
      #for r in OWN
      out_${r}_${c}_${l} = fma(p_${r}_${j}, v, out_${r}_${c}_${l});
      #end
    }
    #end
    #end
  }
  #for r in OWN
  if (t_${r} < T) {
    let inverse = 1f / sum_${r};
    let out_row = (row_${r} * params.H + head) * D;
    #for c in CHUNKS, l in LANES
    if (${c}u * LANES + ${l}u < D) { out[out_row + ${c}u * LANES + ${l}u] = TYPE(out_${r}_${c}_${l} * inverse); }
    #end
    logsumexp[(batch * params.H + head) * T + t_${r}] = largest_${r} + log(sum_${r});
  }
  #end
}
