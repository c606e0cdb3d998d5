// Gradient of causal attention for the queries, and delta: the contract of attention_backward_query, laid out as
// attention_forward_tiled. A row's delta is added up by thread, then over its threads. Computed in f32; IS_CAPPED,
// scores and slopes too.
struct Params { T: u32, H: u32, KV: u32, scale: f32 }

#if ${ALIGNED}
var<storage, read> qkv: array<vec4<TYPE>>;
var<storage, read> out: array<vec4<TYPE>>;
var<storage, read> dout: array<vec4<TYPE>>;
var<storage, read_write> dqkv: array<vec4<TYPE>>;
#else
var<storage, read> qkv: array<TYPE>;
var<storage, read> out: array<TYPE>;
var<storage, read> dout: array<TYPE>;
var<storage, read_write> dqkv: array<TYPE>;
#endif
var<storage, read> logsumexp: array<f32>;
var<storage, read_write> delta: array<f32>;
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
  let head = workgroup.y;
  let batch = workgroup.z;
  let first = workgroup.x * OWN;
  let kv_head = head / (params.H / params.KV);
  let queries = query_rows(batch, head);
  let gradients = dout_rows(batch, head);
  let key_matrix = key_rows(batch, kv_head);
  let value_matrix = value_rows(batch, kv_head);
  let row = first + 4u * (thread / THREADS_N);
  let t = vec4u(row, row + 1u, row + 2u, row + 3u);
  let statistics = (batch * params.H + head) * T;
  var logsumexps: vec4f;
  var deltas: vec4f;
  #for r in 4
  logsumexps[${r}] = logsumexp[statistics + min(t[${r}], T - 1u)];
  #for v in VECTORS
  {
    let d = 4u * (thread % THREADS_N + ${v}u * THREADS_N);
    deltas[${r}] += dot(load(gradients, t[${r}], d), load_out(gradients, t[${r}], d));
  }
  #end
  #end
  deltas = row_sums(thread, deltas);
  if (thread % THREADS_N == 0u) {
    #for r in 4
    if (t[${r}] < T) { delta[statistics + t[${r}]] = deltas[${r}]; }
    #end
  }
#if ${BEGINS}
  let starts = begins_of(batch, t);
#endif
  var dq: Sums;
  let keys = min(first + OWN, T);
#if ${BEGINS}
  for (var j0 = begin_of(batch, first); j0 < keys; j0 += OTHERS) {
#else
  for (var j0 = 0u; j0 < keys; j0 += OTHERS) {
#endif
    let products = multiply_rows(thread, queries, first, key_matrix, j0);
    #for c in COLUMNS
    {
      let j = vec4u(j0 + other_of(thread, ${c}u));
#if ${BEGINS}
      let visible = (j <= t) & (j >= starts);
#else
      let visible = j <= t;
#endif
#if ${IS_CAPPED}
      let capped = soft_cap(products[${c}] * params.scale);
      scores[score_at(thread, ${c}u)] = weights(capped, logsumexps, visible) * soft_cap_slope(capped);
#else
      scores[score_at(thread, ${c}u)] = weights(products[${c}], logsumexps, visible);
#endif
    }
    #end
    let dp = multiply_rows(thread, gradients, first, value_matrix, j0);
    #for c in COLUMNS
    scores[score_at(thread, ${c}u)] *= dp[${c}] - deltas;
    #end
    dq = add_product(thread, dq, key_matrix, j0);
  }
  store(thread, dq, queries, first, params.scale);
}

// Four elements of a row of out, which is laid out like dout.
fn load_out(rows: Rows, row: u32, d: u32) -> vec4f {
  if (row >= params.T || d >= D) { return vec4f(); }
  let at = rows.first + row * rows.stride + d;
#if ${ALIGNED}
  return vec4f(out[at / 4u]);
#else
  var values = vec4f();
  for (var i = 0u; i < min(4u, D - d); i++) { values[i] = f32(out[at + i]); }
  return values;
#endif
}
