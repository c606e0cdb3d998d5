// total[c] += sum_r values[r, c];  values [R, C], total [C]. A workgroup takes COLUMNS columns; of a column, each of its
// SLICES threads adds every SLICES-th row, in order, and the first of them adds what they have, in order. All f32.
struct Params { rows: u32, columns: u32 }

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> total: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

const COLUMNS = ${COLUMNS}u;
const SLICES = ${SLICES}u;
var<workgroup> sums: array<f32, COLUMNS * SLICES>;

@compute @workgroup_size(COLUMNS * SLICES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let slice = thread / COLUMNS;
  let c = workgroup.x * COLUMNS + thread % COLUMNS;
  var sum = 0f;
  if (c < params.columns) {
    for (var row = slice; row < params.rows; row += SLICES) { sum += values[row * params.columns + c]; }
  }
  sums[thread] = sum;
  workgroupBarrier();
  if (slice > 0u || c >= params.columns) { return; }
  for (var s = 1u; s < SLICES; s++) { sum += sums[s * COLUMNS + thread]; }
  total[c] += sum;
}
