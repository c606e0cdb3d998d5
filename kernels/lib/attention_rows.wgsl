// What the attention kernels on subgroup matrices share. OWN rows are a workgroup's, M of them a subgroup's; ROWS others are
// taken at a time. A row is staged in WIDTH halves, CHUNKS of VECTOR, padded by PAD against bank conflicts. PARTS lanes share
// a row's scores, those whose numbers are the same modulo M.
const D = ${HEAD_SIZE}u;
const M = ${MATRIX_M}u;
const THREADS = ${LANES}u * ${SUBGROUPS}u;
const OWN = M * ${SUBGROUPS}u;
const ROWS = ${ROWS}u;
const WIDTH = ${WIDTH}u;
const PAD = 8u;
const CHUNKS = WIDTH / ${VECTOR}u;
const STRIDE = (WIDTH + PAD) / ${VECTOR}u;
const SCORE_STRIDE = ROWS + PAD;
const PARTS = ${LANES}u / M;

fn row_max(value: f32) -> f32 {
  var largest = value;
  for (var offset = M; offset < ${LANES}u; offset *= 2u) { largest = max(largest, subgroupShuffleXor(largest, offset)); }
  return largest;
}

fn row_sum(value: f32) -> f32 {
  var sum = value;
  for (var offset = M; offset < ${LANES}u; offset *= 2u) { sum += subgroupShuffleXor(sum, offset); }
  return sum;
}

// Chunk number `chunk` of a head's row in qkv, `column` the head's first element in a row; zeros beyond T and D.
fn load(start: u32, row: u32, stride: u32, column: u32, chunk: u32, T: u32) -> ${CHUNK} {
  if (row >= T || chunk * ${VECTOR}u >= D) { return ${CHUNK}(); }
  return qkv[(start + row * stride + column) / ${VECTOR}u + chunk];
}
