// C[M, N] = op(A) op(B) (+ addend): the same contract as matmul_subgroup, through workgroup memory, for adapters whose
// lanes are many and whose barriers are cheap.
//   TRANSPOSE_A: A is stored [K, M], else [M, K].   TRANSPOSE_B: B is stored [N, K], else [K, N].
// A workgroup of THREADS x THREADS threads computes a tile of (THREADS*ROWS) x (THREADS*COLUMNS); a thread holds ROWS x
// COLUMNS accumulators at stride THREADS. Tiles of A and B of DEPTH along K are staged as [DEPTH][tile], so that the
// inner loop reads neighbouring words; DEPTH must be THREADS. Elements beyond the edge are staged as zeros.
// Accumulates in f32, in order of K.
struct Params { M: u32, N: u32, K: u32 }

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
#if ${ADDEND}
@group(0) @binding(2) var<storage, read> addend: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
#else
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
#endif

const THREADS = ${THREADS}u;
const TILE_M = ${THREADS}u * ${ROWS}u;
const TILE_N = ${THREADS}u * ${COLUMNS}u;
// One word of padding a row keeps a transposed store out of a single bank.
var<workgroup> a_tile: array<f32, THREADS * (TILE_M + 1u)>;
var<workgroup> b_tile: array<f32, THREADS * (TILE_N + 1u)>;

@compute @workgroup_size(${THREADS}, ${THREADS})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) thread: vec3u) {
  let M = params.M;
  let N = params.N;
  let K = params.K;
  let row0 = workgroup.y * TILE_M;
  let column0 = workgroup.x * TILE_N;

  #for i in ROWS
  #for j in COLUMNS
  var sum_${i}_${j} = 0f;
  #end
  #end

  for (var k0 = 0u; k0 < K; k0 += THREADS) {
    // thread.x runs along the stored rows, so that neighbouring threads load neighbouring words
    #for i in ROWS
    {
#if ${TRANSPOSE_A}
      let k = thread.y;
      let row = thread.x + ${i}u * THREADS;
      let at = (k0 + k) * M + row0 + row;
#else
      let k = thread.x;
      let row = thread.y + ${i}u * THREADS;
      let at = (row0 + row) * K + k0 + k;
#endif
      var value = 0f;
      if (row0 + row < M && k0 + k < K) { value = a[at]; }
      a_tile[k * (TILE_M + 1u) + row] = value;
    }
    #end
    #for j in COLUMNS
    {
#if ${TRANSPOSE_B}
      let k = thread.x;
      let column = thread.y + ${j}u * THREADS;
      let at = (column0 + column) * K + k0 + k;
#else
      let k = thread.y;
      let column = thread.x + ${j}u * THREADS;
      let at = (k0 + k) * N + column0 + column;
#endif
      var value = 0f;
      if (column0 + column < N && k0 + k < K) { value = b[at]; }
      b_tile[k * (TILE_N + 1u) + column] = value;
    }
    #end
    workgroupBarrier();
    for (var k = 0u; k < THREADS; k++) {
      #for i in ROWS
      let a_${i} = a_tile[k * (TILE_M + 1u) + thread.y + ${i}u * THREADS];
      #end
      #for j in COLUMNS
      let b_${j} = b_tile[k * (TILE_N + 1u) + thread.x + ${j}u * THREADS];
      #end
      #for i in ROWS
      #for j in COLUMNS
      sum_${i}_${j} = fma(a_${i}, b_${j}, sum_${i}_${j});
      #end
      #end
    }
    workgroupBarrier();
  }

  #for i in ROWS
  #for j in COLUMNS
  {
    let row = row0 + thread.y + ${i}u * THREADS;
    let column = column0 + thread.x + ${j}u * THREADS;
    if (row < M && column < N) {
      let at = row * N + column;
#if ${ADDEND}
      c[at] = sum_${i}_${j} + addend[at];
#elif ${ACCUMULATE}
      c[at] = sum_${i}_${j} + c[at];
#else
      c[at] = sum_${i}_${j};
#endif
    }
  }
  #end
  #end
}
