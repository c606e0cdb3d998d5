// What the two passes of the gradient on subgroup matrices share: one owns queries and takes keys, the other owns keys
// and takes queries. A query goes with its row of dout, and a key with its value.

// Where a head's row begins in dout [B, T, H, D].
fn dout_row(batch: u32, row: u32, head: u32) -> u32 {
  return ((batch * params.T + min(row, params.T - 1u)) * params.H + head) * D;
}

// exp(scale * score - logsumexp) of four scores; logsumexp comes times log2(e). Capped scores are scaled already.
fn weights(score: vec4f, logsumexps: vec4f) -> vec4f {
#if ${IS_CAPPED}
  return exp2(fma(score, vec4f(LOG2_E), -logsumexps));
#else
  return exp2(fma(score, vec4f(params.scale * LOG2_E), -logsumexps));
#endif
}
