// Where what a row sees begins. DOCUMENTS: at its document; documents [B, T] has for each row where that begins in the
// sequence. IS_LOCAL: at most WINDOW - 1 keys before itself. Where the workgroup is, all of this is uniform.
#if ${DOCUMENTS}
var<storage, read> documents: array<u32>;

fn document_of(batch: u32, row: u32) -> u32 { return documents[batch * params.T + min(row, params.T - 1u)]; }

// Where the block of keys behind the one that begins at j0 begins: at most `size` further on, and where the next
// document does. So a document is taken in the blocks that it would be taken in alone.
fn next_block(batch: u32, j0: u32, size: u32) -> u32 {
  var next = min(j0 + size, params.T);
  while (document_of(batch, next - 1u) > j0) { next--; }
  return next;
}
#else
fn document_of(batch: u32, row: u32) -> u32 { return 0u; }
fn next_block(batch: u32, j0: u32, size: u32) -> u32 { return j0 + size; }
#endif

fn documents_of(batch: u32, rows: vec4u) -> vec4u {
  return vec4u(document_of(batch, rows.x), document_of(batch, rows.y), document_of(batch, rows.z),
    document_of(batch, rows.w));
}

#if ${IS_LOCAL}
fn begin_of(batch: u32, row: u32) -> u32 {
  let end = min(row, params.T - 1u) + 1u;
  return max(document_of(batch, row), end - min(end, WINDOW));
}
#else
fn begin_of(batch: u32, row: u32) -> u32 { return document_of(batch, row); }
#endif
fn begins_of(batch: u32, rows: vec4u) -> vec4u {
  return vec4u(begin_of(batch, rows.x), begin_of(batch, rows.y), begin_of(batch, rows.z), begin_of(batch, rows.w));
}

// Where the first block of keys begins that a row sees: a whole number of blocks behind its document.
fn first_block(batch: u32, row: u32, size: u32) -> u32 {
#if ${IS_LOCAL}
  let document = document_of(batch, row);
  return document + (begin_of(batch, row) - document) / size * size;
#else
  return document_of(batch, row);
#endif
}
