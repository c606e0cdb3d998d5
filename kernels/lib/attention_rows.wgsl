// What the attention kernels on subgroup matrices share. M rows of a tile are a subgroup's; PARTS lanes share a row, those
// whose numbers are the same modulo M.
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
