// Gradient of causal attention for keys and values: the contract of attention_backward_key_value, laid out as
// attention_forward_tiled. A workgroup owns OWN key rows of one head, with their values, and walks over the queries of
// the heads that share it, OTHERS at a time. Computed in f32; IS_CAPPED, scores and slopes too, of which slopes wait in
// registers until dv has the weights.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

#if ${ALIGNED}
var<storage, read> qkv: array<vec4<TYPE>>;
var<storage, read> dout: array<vec4<TYPE>>;
var<storage, read_write> dqkv: array<vec4<TYPE>>;
#else
var<storage, read> qkv: array<TYPE>;
var<storage, read> dout: array<TYPE>;
var<storage, read_write> dqkv: array<TYPE>;
#endif
var<storage, read> logsumexp: array<f32>;
var<storage, read> delta: array<f32>;
var<uniform> params: Params;

#include lib/attention_tiles.wgsl
#include lib/attention_tiles_gradient.wgsl
#if ${BEGINS}
#include lib/attention_begins.wgsl
#endif
#if ${IS_CAPPED}
#include lib/soft_cap.wgsl
#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let T = params.T;
  let H = params.H;
  let kv_head = workgroup.y;
  let group = H / params.KV;
  let batch = workgroup.z;
  let first = workgroup.x * OWN;
#if ${BEGINS}
  let last = min(first + OWN, T) - 1u;
#endif
  let key_matrix = key_rows(batch, kv_head);
  let value_matrix = value_rows(batch, kv_head);
  let row = first + 4u * (thread / THREADS_N);
  let j = vec4u(row, row + 1u, row + 2u, row + 3u);
  var dk: Sums;
  var dv: Sums;
  for (var head = kv_head * group; head < (kv_head + 1u) * group; head++) {
    let statistics = (batch * H + head) * T;
    let queries = query_rows(batch, head);
    let gradients = dout_rows(batch, head);
    // queries before this workgroup's first key see none of its keys
#if ${BEGINS}
    // nor do queries that see only what is behind its last key
    for (var t0 = first; t0 < T && begin_of(batch, t0) <= last; t0 += OTHERS) {
#else
    for (var t0 = first; t0 < T; t0 += OTHERS) {
#endif
      let products = multiply_rows(thread, key_matrix, first, queries, t0);
#if ${IS_CAPPED}
      var slopes: Scores;
#endif
      #for c in COLUMNS
      {
        let t = t0 + other_of(thread, ${c}u);
#if ${BEGINS}
        let visible = (j <= vec4u(t)) & vec4<bool>(t < T) & (j >= vec4u(begin_of(batch, t)));
#else
        let visible = (j <= vec4u(t)) & vec4<bool>(t < T);
#endif
#if ${IS_CAPPED}
        let capped = soft_cap(products[${c}] * params.scale);
        slopes[${c}] = soft_cap_slope(capped);
        scores[score_at(thread, ${c}u)] = weights(capped, vec4f(logsumexp[statistics + min(t, T - 1u)]), visible);
#else
        scores[score_at(thread, ${c}u)] =
          weights(products[${c}], vec4f(logsumexp[statistics + min(t, T - 1u)]), visible);
#endif
      }
      #end
      dv = add_product(thread, dv, gradients, t0);
      let dp = multiply_rows(thread, value_matrix, first, gradients, t0);
      #for c in COLUMNS
      {
        let t = t0 + other_of(thread, ${c}u);
#if ${IS_CAPPED}
        scores[score_at(thread, ${c}u)] *= slopes[${c}] * (dp[${c}] - vec4f(delta[statistics + min(t, T - 1u)]));
#else
        scores[score_at(thread, ${c}u)] *= dp[${c}] - vec4f(delta[statistics + min(t, T - 1u)]);
#endif
      }
      #end
      dk = add_product(thread, dk, queries, t0);
    }
  }
  store(thread, dk, key_matrix, first, params.scale);
  store(thread, dv, value_matrix, first, 1f);
}
