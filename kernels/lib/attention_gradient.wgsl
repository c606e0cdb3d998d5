// What the two passes of the gradient on subgroup matrices share: one owns queries and takes keys, the other owns keys
// and takes queries. A query is staged with its row of dout, and a key with its value.
#include lib/attention_weights.wgsl
var<workgroup> products: array<vec4f, OWN * SCORE_STRIDE>;

// A chunk of a head's row of dout [B, T, H, D], zeros beyond T and D.
fn load_dout(batch: u32, row: u32, head: u32, chunk: u32) -> CHUNK {
  if (row >= params.T || chunk * VECTOR >= D) { return CHUNK(); }
  return dout[((batch * params.T + row) * params.H + head) * D / VECTOR + chunk];
}

// Stages `rows` rows of a head's dout from row `first` on, from row `at` of the tile on.
fn stage_dout(thread: u32, batch: u32, head: u32, first: u32, rows: u32, at: u32) {
  for (var i = thread; i < rows * CHUNKS; i += THREADS) {
    tile[(at + i / CHUNKS) * STRIDE + i % CHUNKS] = load_dout(batch, first + i / CHUNKS, head, i % CHUNKS);
  }
}
