// What the attention kernels on subgroup matrices share. OWN rows are a workgroup's, M of them a subgroup's, or of
// SHARE subgroups that each take a part of a row's scores and of its sums; ROWS others are taken at a time. Own rows
// stay in a subgroup's matrices. The others are staged, two rows for each (a key and its value, a query and its row of
// dout), in WIDTH halves each, CHUNKS of VECTOR, padded by PAD against bank conflicts; own rows come the same way.
// Scores are f32 in fours, SCORE_FOURS a lane: PARTS lanes share a row's. The kernel declares params and qkv.
const D = HEAD_SIZE;
const M = MATRIX_M;
const THREADS = LANES * SUBGROUPS;
const OWN = M * SUBGROUPS / SHARE;
const PAD = 8u;
const CHUNKS = WIDTH / VECTOR;
const STRIDE = (WIDTH + PAD) / VECTOR;
const TILE_ROWS = 2u * ROWS;
const OWN_ROWS = min(OWN, TILE_ROWS); // that are staged at a time
const SCORE_STRIDE = ROWS / 4u + 1u;
const WEIGHT_STRIDE = ROWS / 4u + 2u;
const LANES_A_ROW = LANES / M;
const PARTS = LANES_A_ROW * SHARE;
var<workgroup> tile: array<CHUNK, TILE_ROWS * STRIDE>;
var<workgroup> scores: array<vec4f, OWN * SCORE_STRIDE>;

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

// Stages `rows` rows of a head from row `first` on, from row `at` of the tile on.
fn stage(thread: u32, batch: u32, column: u32, first: u32, rows: u32, at: u32) {
  for (var i = thread; i < rows * CHUNKS; i += THREADS) {
    tile[(at + i / CHUNKS) * STRIDE + i % CHUNKS] = load(batch, first + i / CHUNKS, column, i % CHUNKS);
  }
}

// Stages ROWS keys of a head and their values.
fn stage_keys(thread: u32, batch: u32, kv_head: u32, first: u32) {
  stage(thread, batch, (params.H + kv_head) * D, first, ROWS, 0u);
  stage(thread, batch, (params.H + params.KV + kv_head) * D, first, ROWS, ROWS);
}

// Writes the matrix that stands in the scores' place from four number `at` of a row on: elements `first` and on of the
// row of ${TARGET} that begins at `head_row`, times `factor`. Between barriers, for another matrix comes there.
fn write_sums(row: u32, part: u32, at: u32, first: u32, is_inside: bool, head_row: u32, factor: f32) {
  workgroupBarrier();
  for (var c = part; c < MATRIX_N / 4u; c += LANES_A_ROW) {
    let d = first + 4u * c;
    let values = scores[row * SCORE_STRIDE + at + c] * factor;
#if ${IS_VECTOR}
    if (is_inside && d < D) { ${TARGET}[(head_row + d) / 4u] = vec4<f16>(values); }
#else
    #for e in 4
    if (is_inside && d + ${e}u < D) { ${TARGET}[head_row + d + ${e}u] = f16(values[${e}]); }
    #end
#endif
  }
  workgroupBarrier();
}
