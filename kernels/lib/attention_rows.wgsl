// What the attention kernels on subgroup matrices share. A workgroup owns OWN rows and takes ROWS others at a time. Own
// rows stay in a subgroup's matrices, BLOCKS of MATRIX_M rows, so that one matrix of the others serves BLOCKS products.
// ROLES subgroups own the same rows: in the gradient one makes the scores q · k and the other the products dout · v.
// Rows are staged in WIDTH halves, eight of them as four words, in the tile as they are and in `turned` with the other
// rows along it, for matrices are loaded fast only from halves that stand side by side. Own rows come through `scores`,
// SLICE halves at a time, where later the scores of a row are, in f32, and then in their place the weights in f16.
// What is beyond T repeats the last row. The kernel declares params and qkv.
const D = HEAD_SIZE;
const M = MATRIX_M;
const THREADS = LANES * SUBGROUPS;
const OWN = M * BLOCKS * SUBGROUPS / ROLES;
const EIGHTS = WIDTH / 8u;
const STRIDE = EIGHTS + 1u; // padded against bank conflicts, as are the other two
const TURNED_STRIDE = ROWS / 2u + 4u; // in pairs of halves
const SCORE_STRIDE = ROWS / 2u + 2u; // in pairs of f32
const PARTS = LANES * ROLES / M; // lanes that share a row's scores
const COLUMNS = ROWS / PARTS; // that each of them has
const LOG2_E = 1.4426950408889634f;
const MASKED = -1e30f;
var<workgroup> tile: array<vec4u, ROLES * ROWS * STRIDE>;
var<workgroup> turned: array<vec2<f16>, TURNED_ROWS * TURNED_STRIDE>;
var<workgroup> scores: array<vec2u, ROLES * OWN * SCORE_STRIDE>;

// Elements from one row of qkv to the next.
fn row_stride() -> u32 { return (params.H + 2u * params.KV) * D; }

// Where the row of a head begins in qkv, `column` the head's first element in a row.
fn row_of(batch: u32, row: u32, column: u32) -> u32 {
  return (batch * params.T + min(row, params.T - 1u)) * row_stride() + column;
}

// The eight halves from number 8 * `eight` on of the head's row that begins at `first`, zeros beyond D.
fn load(rows: ptr<storage, array<CHUNK>, read>, first: u32, eight: u32) -> vec4u {
#if ${IS_WORDS}
#if ${IS_WHOLE}
  return rows[first / 8u + eight];
#else
  if (8u * eight >= D) { return vec4u(); }
  return rows[first / 8u + eight];
#endif
#else
  var words = vec4u();
#if ${IS_VECTOR}
  #for e in 2
  if (8u * eight + 4u * ${e}u < D) {
    let four = bitcast<vec2u>(rows[first / 4u + 2u * eight + ${e}u]);
    words[2u * ${e}u] = four.x;
    words[2u * ${e}u + 1u] = four.y;
  }
  #end
#else
  #for e in 4
  if (8u * eight + 2u * ${e}u < D) {
    let at = first + 8u * eight + 2u * ${e}u;
    // D may be odd
    let second = select(0h, rows[at + 1u], 8u * eight + 2u * ${e}u + 1u < D);
    words[${e}u] = bitcast<u32>(vec2<f16>(rows[at], second));
  }
  #end
#endif
  return words;
#endif
}

// Puts eight halves of own row number `row` of a slice into the scores' place.
fn put_own(row: u32, eight: u32, words: vec4u) {
  let at = row * SCORE_STRIDE + 2u * eight;
  scores[at] = words.xy;
  scores[at + 1u] = words.zw;
}

// Puts eight halves of two rows, the first of which is 2 * `pair`, into `turned` from its row `at` on.
fn turn(at: u32, pair: u32, eight: u32, first: vec4u, second: vec4u) {
  let corner = (at + 8u * eight) * TURNED_STRIDE + pair;
  #for w in 4
  {
    let a = bitcast<vec2<f16>>(first[${w}u]);
    let b = bitcast<vec2<f16>>(second[${w}u]);
    turned[corner + 2u * ${w}u * TURNED_STRIDE] = vec2<f16>(a.x, b.x);
    turned[corner + (2u * ${w}u + 1u) * TURNED_STRIDE] = vec2<f16>(a.y, b.y);
  }
  #end
}

// Puts eight halves of two rows into the tile from its row `at` on.
fn put(at: u32, pair: u32, eight: u32, first: vec4u, second: vec4u) {
  let corner = (at + 2u * pair) * STRIDE + eight;
  tile[corner] = first;
  tile[corner + STRIDE] = second;
}

// Four scores of a row, from its column `column` on, of row number `row` among the scores.
fn scores_at(row: u32, column: u32) -> vec4f {
  let at = row * SCORE_STRIDE + column / 2u;
  return vec4f(bitcast<vec2f>(scores[at]), bitcast<vec2f>(scores[at + 1u]));
}

// Puts four weights in the place of scores. Between barriers: they cover the scores of other lanes.
fn put_weights(row: u32, column: u32, values: vec4f) {
  scores[row * SCORE_STRIDE + column / 4u] = bitcast<vec2u>(vec4<f16>(values));
}

// Writes a row of the matrix that stands in the scores' place from row `row` on: `column` is its first element in the
// row of ${TARGET} that begins at `head_row`. Between barriers, for another matrix comes there.
fn write_sums(row: u32, lane: u32, column: u32, is_inside: bool, head_row: u32, factor: f32) {
  workgroupBarrier();
  for (var c = 4u * (lane / M); c < MATRIX_N; c += 4u * LANES / M) {
    let d = column + c;
    let values = scores_at(row, c) * factor;
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
