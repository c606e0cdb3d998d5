// C[M, N] = op(A) op(B) (+ addend): the contract of matmul_subgroup, through workgroup memory, for adapters whose lanes
// are many and whose barriers are cheap.
// A workgroup of THREADS_M x THREADS_N threads computes a tile of (4*ROWS*THREADS_M) x (4*COLUMNS*THREADS_N), of each
// side; a thread holds 4*ROWS rows and COLUMNS vectors of 4 columns of it, in registers. Tiles of A and B of DEPTH
// along K are staged [DEPTH][tile] as vectors along M and N, so that the inner loop reads a vector of each at a time.
// They are loaded in blocks of 4 x 4: by vectors where ALIGNED_* (rows of the stored matrix are whole vectors), else
// element by element, and so are sums stored; a matrix that is stored along K is turned in registers. Elements beyond
// the edge are staged as zeros.
// Operands are f32 or f16 (*_TYPE), B with B_BFLOAT bf16, in words of two; products and sums are f32, in order of K.
#include lib/matmul_operands.wgsl

#if ${ALIGNED_A}
var<storage, read> a: array<vec4<A_TYPE>>;
#else
var<storage, read> a: array<A_TYPE>;
#endif
#if ${B_BFLOAT}
#include lib/bfloat.wgsl
#if ${ALIGNED_B}
var<storage, read> b: array<vec2u>;
#else
var<storage, read> b: array<u32>;
#endif
#elif ${ALIGNED_B}
var<storage, read> b: array<vec4<B_TYPE>>;
#else
var<storage, read> b: array<B_TYPE>;
#endif

#include lib/swiglu.wgsl

const THREADS = THREADS_M * THREADS_N;
const VECTORS_M = THREADS_M * ROWS;
const SIDE = THREADS_N * COLUMNS;
const VECTORS_N = SIDE * SIDES;
var<workgroup> a_tile: array<vec4f, DEPTH * VECTORS_M>;
var<workgroup> b_tile: array<vec4f, DEPTH * VECTORS_N>;

// Four elements of the stored row `row` from `column` on; zeros beyond `rows` and `columns`.
fn load_a(row: u32, column: u32, rows: u32, columns: u32) -> vec4f {
  if (row >= rows || column >= columns) { return vec4f(); }
  let at = params.a_first + row * params.a_stride + column;
#if ${ALIGNED_A}
  return vec4f(a[at / 4u]);
#else
  var values = vec4f();
  for (var i = 0u; i < min(4u, columns - column); i++) { values[i] = f32(a[at + i]); }
  return values;
#endif
}

fn load_b(row: u32, column: u32, rows: u32, columns: u32) -> vec4f {
  if (row >= rows || column >= columns) { return vec4f(); }
  let at = params.b_first + row * params.b_stride + column;
#if ${ALIGNED_B}
#if ${B_BFLOAT}
  let words = b[at / 4u];
  return vec4f(unpack2x16bfloat(words.x), unpack2x16bfloat(words.y));
#else
  return vec4f(b[at / 4u]);
#endif
#else
  var values = vec4f();
#if ${B_BFLOAT}
  for (var i = 0u; i < min(4u, columns - column); i++) {
    values[i] = unpack2x16bfloat(b[(at + i) / 2u])[(at + i) % 2u];
  }
#else
  for (var i = 0u; i < min(4u, columns - column); i++) { values[i] = f32(b[at + i]); }
#endif
  return values;
#endif
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
  let M = params.M;
  let N = params.N;
  let K = params.K;
  let thread_m = index / THREADS_N;
  let thread_n = index % THREADS_N;
  let row0 = workgroup.y * VECTORS_M * 4u;
  let column0 = workgroup.x * SIDE * 4u;

  #for i in ROWS, r in 4, s in SIDES, j in COLUMNS
  var sum_${i}_${r}_${s}_${j} = vec4f();
  #end

  for (var k0 = 0u; k0 < K; k0 += DEPTH) {
    // neighbouring threads load neighbouring vectors of a stored row
    for (var block = index; block < VECTORS_M * (DEPTH / 4u); block += THREADS) {
#if ${TRANSPOSE_A}
      let m = block % VECTORS_M;
      let k = 4u * (block / VECTORS_M);
      #for i in 4
      a_tile[(k + ${i}u) * VECTORS_M + m] = load_a(k0 + k + ${i}u, row0 + 4u * m, K, M);
      #end
#else
      let k = 4u * (block % (DEPTH / 4u));
      let m = block / (DEPTH / 4u);
      #for i in 4
      let row_${i} = load_a(row0 + 4u * m + ${i}u, k0 + k, M, K);
      #end
      #for i in 4
      a_tile[(k + ${i}u) * VECTORS_M + m] = vec4f(row_0[${i}], row_1[${i}], row_2[${i}], row_3[${i}]);
      #end
#endif
    }
    for (var block = index; block < VECTORS_N * (DEPTH / 4u); block += THREADS) {
#if ${TRANSPOSE_B}
      let k = 4u * (block % (DEPTH / 4u));
      let n = block / (DEPTH / 4u);
      #for i in 4
      let column_${i} = load_b(n / SIDE * N + column0 + 4u * (n % SIDE) + ${i}u, k0 + k, SIDES * N, K);
      #end
      #for i in 4
      b_tile[(k + ${i}u) * VECTORS_N + n] = vec4f(column_0[${i}], column_1[${i}], column_2[${i}], column_3[${i}]);
      #end
#else
      let n = block % VECTORS_N;
      let k = 4u * (block / VECTORS_N);
      #for i in 4
      b_tile[(k + ${i}u) * VECTORS_N + n] = load_b(k0 + k + ${i}u, column0 + 4u * n, K, N);
      #end
#endif
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      #for i in ROWS
      let a_${i} = a_tile[k * VECTORS_M + thread_m + ${i}u * THREADS_M];
      #end
      #for s in SIDES, j in COLUMNS
      let b_${s}_${j} = b_tile[k * VECTORS_N + ${s}u * SIDE + thread_n + ${j}u * THREADS_N];
      #end
      #for i in ROWS, r in 4, s in SIDES, j in COLUMNS
      sum_${i}_${r}_${s}_${j} = fma(vec4f(a_${i}[${r}]), b_${s}_${j}, sum_${i}_${r}_${s}_${j});
      #end
    }
    workgroupBarrier();
  }

  #for i in ROWS, r in 4, j in COLUMNS
  {
    let row = row0 + 4u * (thread_m + ${i}u * THREADS_M) + ${r}u;
    let column = column0 + 4u * (thread_n + ${j}u * THREADS_N);
#if ${SWIGLU}
    store_swiglu(row, column, sum_${i}_${r}_0_${j}, sum_${i}_${r}_1_${j});
#else
    store(row, column, sum_${i}_${r}_0_${j});
#endif
  }
  #end
}

#if ${SWIGLU}
fn store_swiglu(row: u32, column: u32, gates: vec4f, ups: vec4f) {
  if (row >= params.M || column >= params.N) { return; }
  let at = params.c_first + row * params.c_stride + column;
  let y_at = row * params.N + column;
  let gate = vec4<C_TYPE>(gates);
  let up = vec4<C_TYPE>(ups);
  let product = vec4<C_TYPE>(swiglu(vec4f(gate), vec4f(up)));
#if ${ALIGNED_C}
  c[at / 4u] = gate;
  c[(at + params.N) / 4u] = up;
  y[y_at / 4u] = product;
#else
  for (var i = 0u; i < min(4u, params.N - column); i++) {
    c[at + i] = gate[i];
    c[at + params.N + i] = up[i];
    y[y_at + i] = product[i];
  }
#endif
}
#else
fn store(row: u32, column: u32, sums: vec4f) {
  if (row >= params.M || column >= params.N) { return; }
  let at = row * params.c_stride + column;
#if ${ALIGNED_C}
#if ${ADDEND}
  c[(params.c_first + at) / 4u] = vec4<C_TYPE>(sums + vec4f(addend[(params.addend_first + at) / 4u]));
#elif ${ACCUMULATE}
  c[(params.c_first + at) / 4u] = vec4<C_TYPE>(sums + vec4f(c[(params.c_first + at) / 4u]));
#else
  c[(params.c_first + at) / 4u] = vec4<C_TYPE>(sums);
#endif
#else
  for (var i = 0u; i < min(4u, params.N - column); i++) {
#if ${ADDEND}
    c[params.c_first + at + i] = C_TYPE(sums[i] + f32(addend[params.addend_first + at + i]));
#elif ${ACCUMULATE}
    c[params.c_first + at + i] = C_TYPE(sums[i] + f32(c[params.c_first + at + i]));
#else
    c[params.c_first + at + i] = C_TYPE(sums[i]);
#endif
  }
#endif
}
#endif
