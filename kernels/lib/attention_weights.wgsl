// exp(scale * score - logsumexp) of four pairs of a query and a key, 0 where the query does not see the key. A masked
// score may exceed logsumexp: exp's argument is kept small, then the value dropped. IS_CAPPED: exp(score - logsumexp),
// of capped scores.
fn weights(score: vec4f, logsumexps: vec4f, visible: vec4<bool>) -> vec4f {
#if ${IS_CAPPED}
  return select(vec4f(), exp(select(vec4f(), score - logsumexps, visible)), visible);
#else
  return select(vec4f(), exp(select(vec4f(), score * params.scale - logsumexps, visible)), visible);
#endif
}
