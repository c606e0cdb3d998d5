// Attention within the documents of a window. documents [B, T] has for each row where its document begins in the
// sequence; a row sees the keys from there on. Where the workgroup is, all of this is uniform.
var<storage, read> documents: array<u32>;

fn document_of(batch: u32, row: u32) -> u32 { return documents[batch * params.T + min(row, params.T - 1u)]; }
fn documents_of(batch: u32, rows: vec4u) -> vec4u {
  return vec4u(document_of(batch, rows.x), document_of(batch, rows.y), document_of(batch, rows.z),
    document_of(batch, rows.w));
}

// Where the block of keys behind the one that begins at j0 begins: at most `size` further on, and where the next
// document does. So a document is taken in the blocks that it would be taken in alone.
fn next_block(batch: u32, j0: u32, size: u32) -> u32 {
  var next = min(j0 + size, params.T);
  while (document_of(batch, next - 1u) > j0) { next--; }
  return next;
}
