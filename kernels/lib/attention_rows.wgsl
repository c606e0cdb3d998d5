// What the attention kernels on subgroup matrices share. OWN rows are a workgroup's, M of them a subgroup's; ROWS
// others are taken at a time. A row is staged in WIDTH halves, CHUNKS of VECTOR, padded by PAD against bank conflicts.
// PARTS lanes share a row's scores, those whose numbers are the same modulo M. The kernel declares params, qkv, and
// q_tile, k_tile and v_tile.
const D = HEAD_SIZE;
const M = MATRIX_M;
const THREADS = LANES * SUBGROUPS;
const OWN = M * SUBGROUPS;
const PAD = 8u;
const CHUNKS = WIDTH / VECTOR;
const STRIDE = (WIDTH + PAD) / VECTOR;
const SCORE_STRIDE = ROWS + PAD;
const PARTS = LANES / M;
alias OwnTile = array<CHUNK, OWN * STRIDE>;
alias OtherTile = array<CHUNK, ROWS * STRIDE>;

fn row_max(value: f32) -> f32 {
  var largest = value;
  for (var offset = M; offset < LANES; offset *= 2u) { largest = max(largest, subgroupShuffleXor(largest, offset)); }
  return largest;
}

fn row_sum(value: f32) -> f32 {
  var sum = value;
  for (var offset = M; offset < LANES; offset *= 2u) { sum += subgroupShuffleXor(sum, offset); }
  return sum;
}

// Elements from one row of qkv to the next.
fn row_stride() -> u32 { return (params.H + 2u * params.KV) * D; }

// Chunk number `chunk` of a head's row in qkv, `column` the head's first element in a row; zeros beyond T and D.
fn load(batch: u32, row: u32, column: u32, chunk: u32) -> CHUNK {
  if (row >= params.T || chunk * VECTOR >= D) { return CHUNK(); }
  return qkv[((batch * params.T + row) * row_stride() + column) / VECTOR + chunk];
}

// Stages `rows` keys and values of a head, from row `first` on.
fn stage_keys(thread: u32, batch: u32, kv_head: u32, first: u32, rows: u32) {
  let k_head = (params.H + kv_head) * D;
  let v_head = k_head + params.KV * D;
  for (var i = thread; i < rows * CHUNKS; i += THREADS) {
    let at = i / CHUNKS * STRIDE + i % CHUNKS;
    k_tile[at] = load(batch, first + i / CHUNKS, k_head, i % CHUNKS);
    v_tile[at] = load(batch, first + i / CHUNKS, v_head, i % CHUNKS);
  }
}
