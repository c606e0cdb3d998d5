// A chunk of a head's row of dout [B, T, H, D], zeros beyond T and D; and one element of it.
fn load_dout(batch: u32, row: u32, head: u32, chunk: u32) -> ${CHUNK} {
  if (row >= params.T || chunk * ${VECTOR}u >= D) { return ${CHUNK}(); }
  return dout[((batch * params.T + row) * params.H + head) * D / ${VECTOR}u + chunk];
}

fn dout_element(at: u32) -> f32 {
#if ${IS_VECTOR}
  return f32(dout[at / ${VECTOR}u][at % ${VECTOR}u]);
#else
  return f32(dout[at]);
#endif
}
