// What the two passes of the gradient on register tiles share.

// exp(scale * score - logsumexp) of four pairs of a query and a key, 0 where the query does not see the key. A masked
// score may exceed logsumexp: exp's argument is kept small, then the value dropped.
fn weights(score: vec4f, logsumexps: vec4f, visible: vec4<bool>) -> vec4f {
  return select(vec4f(), exp(select(vec4f(), score * params.scale - logsumexps, visible)), visible);
}

// Writes a thread's sums, scaled, to dqkv, whose rows are laid out as those of qkv.
fn store(thread: u32, sums: Sums, rows: Rows, first: u32, scale: f32) {
  #for r in 4
  {
    let row = first + 4u * (thread / THREADS_N) + ${r}u;
    #for v in VECTORS
    {
      let d = 4u * (thread % THREADS_N + ${v}u * THREADS_N);
      let at = rows.first + row * rows.stride + d;
      let values = vec4<TYPE>(sums[${r} * VECTORS + ${v}] * scale);
      if (row < params.T && d < D) {
#if ${ALIGNED}
        dqkv[at / 4u] = values;
#else
        for (var i = 0u; i < min(4u, D - d); i++) { dqkv[at + i] = values[i]; }
#endif
      }
    }
    #end
  }
  #end
}
