// C[M, N] = op(A) op(B) (+ addend): the contract of matmul_subgroup, on subgroup matrices (tensor cores) of
// MATRIX_M x MATRIX_N x MATRIX_K with f16 operands and f32 sums.
// A workgroup of SUBGROUPS_M x SUBGROUPS_N subgroups computes a tile; a subgroup holds ROWS x COLUMNS matrices of it.
// Tiles of A and B of DEPTH along K are staged in workgroup memory as they are stored (a transposed operand is loaded
// column by column), in rows padded by PAD halves against bank conflicts, moved in chunks of *_VECTOR elements. The
// next tile is fetched to registers right after the barrier, while this one is multiplied.
// Operands are f16, or f32 rounded to f16 on the way in. What is beyond the edge is staged as zeros. Sums leave through
// workgroup memory, one matrix of each subgroup at a time, since matrices have no elements that WGSL could reach.
#include lib/matmul_operands.wgsl

var<storage, read> a: array<A_STORED>;
var<storage, read> b: array<B_STORED>;

const SUBGROUPS = SUBGROUPS_M * SUBGROUPS_N;
const THREADS = LANES * SUBGROUPS;
const TILE_M = SUBGROUPS_M * ROWS * MATRIX_M;
const TILE_N = SUBGROUPS_N * COLUMNS * MATRIX_N;
const PAD = 8u;
#if ${TRANSPOSE_A}
const A_ROWS = DEPTH;
const A_COLUMNS = TILE_M;
#else
const A_ROWS = TILE_M;
const A_COLUMNS = DEPTH;
#endif
#if ${TRANSPOSE_B}
const B_ROWS = TILE_N;
const B_COLUMNS = DEPTH;
#else
const B_ROWS = DEPTH;
const B_COLUMNS = TILE_N;
#endif
// chunks of a row, stored and padded
const A_CHUNKS = A_COLUMNS / A_VECTOR;
const B_CHUNKS = B_COLUMNS / B_VECTOR;
const A_STRIDE = (A_COLUMNS + PAD) / A_VECTOR;
const B_STRIDE = (B_COLUMNS + PAD) / B_VECTOR;
var<workgroup> a_tile: array<A_CHUNK, A_ROWS * A_STRIDE>;
var<workgroup> b_tile: array<B_CHUNK, B_ROWS * B_STRIDE>;
var<workgroup> sums: array<f32, SUBGROUPS * MATRIX_M * MATRIX_N>;

// Chunk number `chunk` of the tile whose first stored row and column are `row0` and `column0`.
fn load_a(chunk: u32, row0: u32, column0: u32, rows: u32, columns: u32) -> A_CHUNK {
  let row = row0 + chunk / A_CHUNKS;
  let column = column0 + chunk % A_CHUNKS * A_VECTOR;
  if (row >= rows || column >= columns) { return A_CHUNK(); }
  return A_CHUNK(a[(params.a_first + row * params.a_stride + column) / A_VECTOR]);
}

fn load_b(chunk: u32, row0: u32, column0: u32, rows: u32, columns: u32) -> B_CHUNK {
  let row = row0 + chunk / B_CHUNKS;
  let column = column0 + chunk % B_CHUNKS * B_VECTOR;
  if (row >= rows || column >= columns) { return B_CHUNK(); }
  return B_CHUNK(b[(params.b_first + row * params.b_stride + column) / B_VECTOR]);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let M = params.M;
  let N = params.N;
  let K = params.K;
  let row0 = workgroup.y * TILE_M;
  let column0 = workgroup.x * TILE_N;
  let tile_row = subgroup / SUBGROUPS_N * ROWS * MATRIX_M;
  let tile_column = subgroup % SUBGROUPS_N * COLUMNS * MATRIX_N;

  #for i in ROWS, j in COLUMNS
  var sum_${i}_${j}: subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;
  #end
  #for n in A_LOADS
  var a_next_${n}: A_CHUNK;
  #end
  #for n in B_LOADS
  var b_next_${n}: B_CHUNK;
  #end

  for (var k0 = 0u; k0 < K + DEPTH; k0 += DEPTH) {
    if (k0 > 0u) {
      #for n in A_LOADS
      if (index + ${n}u * THREADS < A_ROWS * A_CHUNKS) {
        let chunk = index + ${n}u * THREADS;
        a_tile[chunk / A_CHUNKS * A_STRIDE + chunk % A_CHUNKS] = a_next_${n};
      }
      #end
      #for n in B_LOADS
      if (index + ${n}u * THREADS < B_ROWS * B_CHUNKS) {
        let chunk = index + ${n}u * THREADS;
        b_tile[chunk / B_CHUNKS * B_STRIDE + chunk % B_CHUNKS] = b_next_${n};
      }
      #end
      workgroupBarrier();
    }
    if (k0 < K) {
      #for n in A_LOADS
#if ${TRANSPOSE_A}
      a_next_${n} = load_a(index + ${n}u * THREADS, k0, row0, K, M);
#else
      a_next_${n} = load_a(index + ${n}u * THREADS, row0, k0, M, K);
#endif
      #end
      #for n in B_LOADS
#if ${TRANSPOSE_B}
      b_next_${n} = load_b(index + ${n}u * THREADS, column0, k0, N, K);
#else
      b_next_${n} = load_b(index + ${n}u * THREADS, k0, column0, K, N);
#endif
      #end
    }
    if (k0 > 0u) {
      #for s in STEPS
      {
        #for i in ROWS
#if ${TRANSPOSE_A}
        let left_${i} = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, col_major>(&a_tile,
          ${s}u * MATRIX_K * A_STRIDE + (tile_row + ${i}u * MATRIX_M) / A_VECTOR, A_STRIDE);
#else
        let left_${i} = subgroupMatrixLoad<subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>, row_major>(&a_tile,
          (tile_row + ${i}u * MATRIX_M) * A_STRIDE + ${s}u * MATRIX_K / A_VECTOR, A_STRIDE);
#endif
        #end
        #for j in COLUMNS
        {
#if ${TRANSPOSE_B}
          let right = subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, col_major>(&b_tile,
            (tile_column + ${j}u * MATRIX_N) * B_STRIDE + ${s}u * MATRIX_K / B_VECTOR, B_STRIDE);
#else
          let right = subgroupMatrixLoad<subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>, row_major>(&b_tile,
            ${s}u * MATRIX_K * B_STRIDE + (tile_column + ${j}u * MATRIX_N) / B_VECTOR, B_STRIDE);
#endif
          #for i in ROWS
          sum_${i}_${j} = subgroupMatrixMultiplyAccumulate(left_${i}, right, sum_${i}_${j});
          #end
        }
        #end
      }
      #end
      workgroupBarrier();
    }
  }

  let scratch = subgroup * MATRIX_M * MATRIX_N;
  #for i in ROWS, j in COLUMNS
  subgroupMatrixStore<row_major>(&sums, scratch, sum_${i}_${j}, MATRIX_N);
  workgroupBarrier();
  for (var e = lane; e < MATRIX_M * MATRIX_N; e += LANES) {
    let row = row0 + tile_row + ${i}u * MATRIX_M + e / MATRIX_N;
    let column = column0 + tile_column + ${j}u * MATRIX_N + e % MATRIX_N;
    if (row < M && column < N) {
      let at = row * params.c_stride + column;
#if ${ADDEND}
      c[params.c_first + at] = C_TYPE(sums[scratch + e] + f32(addend[params.addend_first + at]));
#elif ${ACCUMULATE}
      c[params.c_first + at] = C_TYPE(sums[scratch + e] + f32(c[params.c_first + at]));
#else
      c[params.c_first + at] = C_TYPE(sums[scratch + e]);
#endif
    }
  }
  workgroupBarrier();
  #end
}
