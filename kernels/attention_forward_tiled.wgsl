// Causal attention: the contract of attention_forward, for adapters whose registers are few and whose barriers are
// cheap. Scores and sums are register-tiled products over tiles in workgroup memory (lib/attention_tiles.wgsl): a
// workgroup owns OWN query rows of one head and walks over the keys, OTHERS at a time, with a running maximum and sum.
// IS_CAPPED, scores are capped in f32 (lib/soft_cap.wgsl).
// With BRANCHES, blocks of keys need not be those that a sequence alone would have.
// Computed in f32; a row's sum of weights is added up by thread, then over its threads.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

#if ${ALIGNED}
var<storage, read> qkv: array<vec4<TYPE>>;
var<storage, read_write> out: array<vec4<TYPE>>;
#else
var<storage, read> qkv: array<TYPE>;
var<storage, read_write> out: array<TYPE>;
#endif
var<storage, read_write> logsumexp: array<f32>;
#if ${BRANCHES}
var<storage, read> branches: array<vec2u>;
#endif
var<uniform> params: Params;

#include lib/attention_tiles.wgsl
#if ${BEGINS}
#include lib/attention_begins.wgsl
#endif
#if ${IS_CAPPED}
#include lib/soft_cap.wgsl
#endif
const MASKED = -1e30f;

fn row_maxima(thread: u32, values: vec4f) -> vec4f {
  share(thread, values);
  var largest = vec4f(MASKED);
  for (var n = 0u; n < THREADS_N; n++) { largest = max(largest, scores[n * THREADS_M + thread / THREADS_N]); }
  workgroupBarrier();
  return largest;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let T = params.T;
  let head = workgroup.y;
  let batch = workgroup.z;
  let first = workgroup.x * OWN;
  let kv_head = head / (params.H / params.KV);
  let queries = query_rows(batch, head);
  let key_matrix = key_rows(batch, kv_head);
  let value_matrix = value_rows(batch, kv_head);
  let row = first + 4u * (thread / THREADS_N);
  let t = vec4u(row, row + 1u, row + 2u, row + 3u);
#if ${BRANCHES}
  #for r in 4
  let branch_${r} = branches[batch * T + min(t[${r}], T - 1u)];
  #end
  let trunks = vec4u(branch_0.x, branch_1.x, branch_2.x, branch_3.x);
  let starts = vec4u(branch_0.y, branch_1.y, branch_2.y, branch_3.y);
  let nearest = branches[batch * T + first]; // no row of this workgroup sees what is between its trunk and its branch
#endif
#if ${BEGINS}
  let starts = documents_of(batch, t);
#endif
#if ${IS_LOCAL}
  let begins = begins_of(batch, t);
#endif
  var largest = vec4f(MASKED);
  var sum = vec4f();
  var outs: Sums;
  let keys = min(first + OWN, T); // no row of this workgroup sees further
#if ${BEGINS}
  for (var j0 = first_block(batch, first, OTHERS); j0 < keys; j0 = next_block(batch, j0, OTHERS)) {
#else
  for (var j0 = 0u; j0 < keys; j0 += OTHERS) {
#endif
#if ${BRANCHES}
    if (j0 >= nearest.x && j0 + OTHERS <= nearest.y) { continue; }
#endif
    let products = multiply_rows(thread, queries, first, key_matrix, j0);
    var largest_now = largest;
    #for c in COLUMNS
    let j_${c} = vec4u(j0 + other_of(thread, ${c}u));
#if ${BRANCHES}
    let visible_${c} = (j_${c} <= t) & ((j_${c} < trunks) | (j_${c} >= starts));
#elif ${IS_LOCAL}
    let visible_${c} = (j_${c} <= t) & (starts <= vec4u(j0)) & (begins <= j_${c});
#elif ${DOCUMENTS}
    let visible_${c} = (j_${c} <= t) & (starts <= vec4u(j0));
#else
    let visible_${c} = j_${c} <= t;
#endif
#if ${IS_CAPPED}
    let score_${c} = select(vec4f(MASKED), soft_cap(products[${c}] * params.scale), visible_${c});
#else
    let score_${c} = select(vec4f(MASKED), products[${c}] * params.scale, visible_${c});
#endif
    largest_now = max(largest_now, score_${c});
    #end
    largest_now = row_maxima(thread, largest_now);
    let correction = exp(largest - largest_now);
    largest = largest_now;
    sum *= correction;
    #for r in 4, v in VECTORS
    outs[${r} * VECTORS + ${v}] *= correction[${r}];
    #end
    #for c in COLUMNS
#if ${BEGINS}
    // a row that sees only what is further on has seen nothing yet
    let p_${c} = select(vec4f(), exp(score_${c} - largest), visible_${c});
#else
    let p_${c} = exp(score_${c} - largest);
#endif
    sum += p_${c};
    scores[score_at(thread, ${c}u)] = p_${c};
    #end
    outs = add_product(thread, outs, value_matrix, j0);
  }
  let sums = row_sums(thread, sum);
  #for r in 4
  if (t[${r}] < T) {
    let out_row = ((batch * T + t[${r}]) * params.H + head) * D;
    #for v in VECTORS
    {
      let d = 4u * (thread % THREADS_N + ${v}u * THREADS_N);
      let values = outs[${r} * VECTORS + ${v}] / sums[${r}];
#if ${ALIGNED}
      if (d < D) { out[(out_row + d) / 4u] = vec4<TYPE>(values); }
#else
      for (var i = 0u; i < 4u; i++) {
        if (d + i < D) { out[out_row + d + i] = TYPE(values[i]); }
      }
#endif
    }
    #end
    if (thread % THREADS_N == 0u) {
      logsumexp[(batch * params.H + head) * T + t[${r}]] = largest[${r}] + log(sums[${r}]);
    }
  }
  #end
}
