// Sums of rows, part by part: sums[p, c] = sum over the rows r of part p of values[r, c], or += (ACCUMULATE).
// values [R, C], f32 or f16 (TYPE), sums [P, C] in f32; a part is `part_rows` rows, or what is left, and `first` is the
// number of the first part. A workgroup takes COLUMNS columns of a part; of a column, each of its SLICES threads adds
// every SLICES-th row, in order, and the first of them adds what they have, in order. All in f32.
struct Params { rows: u32, columns: u32, part_rows: u32, first: u32 }

var<storage, read> values: array<TYPE>;
var<storage, read_write> sums: array<f32>;
var<uniform> params: Params;

var<workgroup> slices: array<f32, COLUMNS * SLICES>;

@compute @workgroup_size(COLUMNS * SLICES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let slice = thread / COLUMNS;
  let c = workgroup.x * COLUMNS + thread % COLUMNS;
  let part = workgroup.y;
  let end = min((part + 1u) * params.part_rows, params.rows);
  var sum = 0f;
  if (c < params.columns) {
    for (var row = part * params.part_rows + slice; row < end; row += SLICES) {
      sum += f32(values[row * params.columns + c]);
    }
  }
  slices[thread] = sum;
  workgroupBarrier();
  if (slice > 0u || c >= params.columns) { return; }
  for (var s = 1u; s < SLICES; s++) { sum += slices[s * COLUMNS + thread]; }
#if ${ACCUMULATE}
  sums[c] += sum;
#else
  sums[(params.first + part) * params.columns + c] = sum;
#endif
}
