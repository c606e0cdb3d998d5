// What the attention kernels on register tiles share. A workgroup owns OWN rows of one head (queries or keys) and takes
// OTHERS rows of the other side at a time. Its THREADS_M x THREADS_N threads make two kinds of products, as
// matmul_tiled does: scores [OWN, OTHERS] along D, of which a thread holds 4 rows and 4*BLOCKS columns, and sums
// [OWN, WIDTH] along OTHERS, of which it holds the same 4 rows and 4*VECTORS columns. WIDTH >= D; what is beyond D is
// zero. Operands go through `tile`, DEPTH along the inner dimension at a time, in f32; scores through `scores`,
// [OTHERS][OWN], as what is made of them is an operand of the other product.
// A thread's scores are a vector of its 4 rows for each column; its sums are VECTORS vectors for each row.
// The kernel declares params and qkv and, where GRADIENT, dout.
const D = HEAD_SIZE;
const THREADS = THREADS_M * THREADS_N;
const OWN = 4u * THREADS_M;
const OTHERS = 4u * THREADS_N * BLOCKS;
const OTHER_VECTORS = THREADS_N * BLOCKS;
const WIDTH_VECTORS = THREADS_N * VECTORS;
const TILE_VECTORS = max(THREADS_M + OTHER_VECTORS, WIDTH_VECTORS);
alias Scores = array<vec4f, COLUMNS>;
alias Sums = array<vec4f, 4u * VECTORS>;
var<workgroup> tile: array<vec4f, DEPTH * TILE_VECTORS>;
var<workgroup> scores: array<vec4f, OTHERS * THREADS_M>;

// The rows of a head, [T, D]: where the first begins and how far the next one is, in qkv or, where GRADIENT, in dout.
struct Rows { first: u32, stride: u32, of_dout: bool }

fn query_rows(batch: u32, head: u32) -> Rows { return rows_of_qkv(batch, head); }
fn key_rows(batch: u32, kv_head: u32) -> Rows { return rows_of_qkv(batch, params.H + kv_head); }
fn value_rows(batch: u32, kv_head: u32) -> Rows { return rows_of_qkv(batch, params.H + params.KV + kv_head); }
fn rows_of_qkv(batch: u32, head: u32) -> Rows {
  let stride = (params.H + 2u * params.KV) * D;
  return Rows(batch * params.T * stride + head * D, stride, false);
}
fn dout_rows(batch: u32, head: u32) -> Rows {
  return Rows((batch * params.T * params.H + head) * D, params.H * D, true);
}

// Four elements of a row, from the d-th on; zeros beyond T and D.
fn load(rows: Rows, row: u32, d: u32) -> vec4f {
  if (row >= params.T || d >= D) { return vec4f(); }
  let at = rows.first + row * rows.stride + d;
#if ${ALIGNED}
#if ${GRADIENT}
  if (rows.of_dout) { return vec4f(dout[at / 4u]); }
#endif
  return vec4f(qkv[at / 4u]);
#else
  var values = vec4f();
  #for i in 4
  if (d + ${i}u < D) {
#if ${GRADIENT}
    if (rows.of_dout) { values[${i}] = f32(dout[at + ${i}u]); } else { values[${i}] = f32(qkv[at + ${i}u]); }
#else
    values[${i}] = f32(qkv[at + ${i}u]);
#endif
  }
  #end
  return values;
#endif
}

// Products of OWN rows from own_first on with OTHERS rows from other_first on.
fn multiply_rows(thread: u32, own: Rows, own_first: u32, other: Rows, other_first: u32) -> Scores {
  let m = thread / THREADS_N;
  let n = thread % THREADS_N;
  #for j in BLOCKS, c in 4
  var score_${j}_${c} = vec4f();
  #end
  for (var d0 = 0u; d0 < D; d0 += DEPTH) {
    workgroupBarrier();
    // blocks of 4 rows x 4 columns, turned in registers
    for (var i = thread; i < (THREADS_M + OTHER_VECTORS) * (DEPTH / 4u); i += THREADS) {
      let d = 4u * (i % (DEPTH / 4u));
      let vector = i / (DEPTH / 4u);
      let is_own = vector < THREADS_M;
      var rows = other;
      var row = other_first + 4u * (vector - THREADS_M);
      if (is_own) {
        rows = own;
        row = own_first + 4u * vector;
      }
      #for r in 4
      let row_${r} = load(rows, row + ${r}u, d0 + d);
      #end
      #for k in 4
      tile[(d + ${k}u) * TILE_VECTORS + vector] = vec4f(row_0[${k}], row_1[${k}], row_2[${k}], row_3[${k}]);
      #end
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      let own_rows = tile[k * TILE_VECTORS + m];
      #for j in BLOCKS
      let others_${j} = tile[k * TILE_VECTORS + THREADS_M + n + ${j}u * THREADS_N];
      #end
      #for j in BLOCKS, c in 4
      score_${j}_${c} = fma(own_rows, vec4f(others_${j}[${c}]), score_${j}_${c});
      #end
    }
  }
  var made: Scores;
  #for j in BLOCKS, c in 4
  made[${j} * 4 + ${c}] = score_${j}_${c};
  #end
  return made;
}

// The row of the other side that a thread's column `column` is, from the first of those that are taken.
fn other_of(thread: u32, column: u32) -> u32 {
  return 4u * (thread % THREADS_N + column / 4u * THREADS_N) + column % 4u;
}

// Where a thread's scores of a column stand in `scores`.
fn score_at(thread: u32, column: u32) -> u32 {
  return other_of(thread, column) * THREADS_M + thread / THREADS_N;
}

// Sums with the products of `scores` and OTHERS rows from first on. Barriers come before it reads.
fn add_product(thread: u32, sums: Sums, rows: Rows, first: u32) -> Sums {
  let m = thread / THREADS_N;
  let n = thread % THREADS_N;
  #for r in 4, v in VECTORS
  var sum_${r}_${v} = sums[${r} * VECTORS + ${v}];
  #end
  for (var j0 = 0u; j0 < OTHERS; j0 += DEPTH) {
    workgroupBarrier();
    for (var i = thread; i < DEPTH * WIDTH_VECTORS; i += THREADS) {
      let vector = i % WIDTH_VECTORS;
      tile[i / WIDTH_VECTORS * TILE_VECTORS + vector] = load(rows, first + j0 + i / WIDTH_VECTORS, 4u * vector);
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      let own_rows = scores[(j0 + k) * THREADS_M + m];
      #for v in VECTORS
      let other_${v} = tile[k * TILE_VECTORS + n + ${v}u * THREADS_N];
      #end
      #for r in 4, v in VECTORS
      sum_${r}_${v} = fma(vec4f(own_rows[${r}]), other_${v}, sum_${r}_${v});
      #end
    }
  }
  var made: Sums;
  #for r in 4, v in VECTORS
  made[${r} * VECTORS + ${v}] = sum_${r}_${v};
  #end
  return made;
}

// The sum, and the largest, of what the threads of the same four rows hold, in their order. Both go through `scores`.
fn row_sums(thread: u32, values: vec4f) -> vec4f {
  share(thread, values);
  var sum = vec4f();
  for (var n = 0u; n < THREADS_N; n++) { sum += scores[n * THREADS_M + thread / THREADS_N]; }
  workgroupBarrier();
  return sum;
}

fn share(thread: u32, values: vec4f) {
  workgroupBarrier();
  scores[thread % THREADS_N * THREADS_M + thread / THREADS_N] = values;
  workgroupBarrier();
}
