// C[M, N] = op(A) op(B) (+ addend), where op is as it stands or transposed: row-major, any M, N, K.
//   TRANSPOSE_A: A is stored [K, M], else [M, K].   TRANSPOSE_B: B is stored [N, K], else [K, N].
// Epilogue: ADDEND adds a tensor [M, N]; ACCUMULATE adds to what C holds (gradients of parameters). SWIGLU (SIDES 2): B
// has 2N columns, gate and up, C takes both side by side [M, 2N], and Y [M, N] takes silu(gate) * up.
// A workgroup is one subgroup of LANES lanes and computes a tile of GROUPS*ROWS rows x COLUMNS*LANES columns (of each
// side); ROWS is LANES, or less where M is: a power of two that holds it. Lane l holds the accumulators of columns
// l, l+LANES, …; it loads one element of A for the row l of each group, and subgroupBroadcast spreads it: one load of A
// serves COLUMNS*LANES products, one of B serves GROUPS*ROWS.
// Rows and columns beyond the edge read the last valid one and are not stored.
// Operands are f32 or f16 (*_TYPE), B also bf16; products and sums are f32, in order of K. Each operand is a window of
// a larger matrix: stored rows are *_stride elements apart, the first element is at *_first.
// B_WORDS: B is bf16 or f16 in words of two, which B_UNPACK takes apart. B_PAIRS: along K its columns are whole words.
#include lib/matmul_operands.wgsl

var<storage, read> a: array<A_TYPE>;
#if ${B_WORDS}
var<storage, read> b: array<u32>;
#include lib/bfloat.wgsl
fn b_at(i: u32) -> f32 { return ${B_UNPACK}(b[i / 2u])[i % 2u]; }
#else
var<storage, read> b: array<B_TYPE>;
fn b_at(i: u32) -> f32 { return f32(b[i]); }
#endif


#include lib/swiglu.wgsl

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let M = params.M;
  let N = params.N;
  let K = params.K;
  let row0 = workgroup.y * GROUPS * ROWS;
  let column0 = workgroup.x * COLUMNS * LANES + lane;

  // A's element (row, k) is at a_row + k * a_step; B's (k, column) at b_column + k * b_step.
#if ${TRANSPOSE_A}
  let a_step = params.a_stride;
  #for g in GROUPS
  let a_row_${g} = params.a_first + min(row0 + ${g}u * ROWS + lane, M - 1u);
  #end
#else
  let a_step = 1u;
  #for g in GROUPS
  let a_row_${g} = params.a_first + min(row0 + ${g}u * ROWS + lane, M - 1u) * params.a_stride;
  #end
#endif
#if ${TRANSPOSE_B}
  let b_step = 1u;
  #for s in SIDES, j in COLUMNS
  let b_column_${s}_${j} = params.b_first + (${s}u * N + min(column0 + ${j}u * LANES, N - 1u)) * params.b_stride;
  #end
#else
  let b_step = params.b_stride;
  #for s in SIDES, j in COLUMNS
  let b_column_${s}_${j} = params.b_first + ${s}u * N + min(column0 + ${j}u * LANES, N - 1u);
  #end
#endif

  #for g in GROUPS, l in ROWS, s in SIDES, j in COLUMNS
  var sum_${g}_${l}_${s}_${j} = 0f;
  #end

  let whole = K - K % UNROLL;
  for (var k = 0u; k < whole; k += UNROLL) {
    // what a lane loads along K follows in a row: where K is contiguous these loads meet the same cache line
    #for s in SIDES, j in COLUMNS, u in UNROLL
#if ${B_PAIRS}
    // of two steps the word is the same, and is loaded once
    let b_${s}_${j}_${u} = ${B_UNPACK}(b[(b_column_${s}_${j} + k) / 2u + ${u}u / 2u])[${u}u % 2u];
#else
    let b_${s}_${j}_${u} = b_at(b_column_${s}_${j} + (k + ${u}u) * b_step);
#endif
    #end
    // a sum takes all steps of K at once: more sums than registers hold are then fetched and put back once for UNROLL
    // steps
    #for g in GROUPS
    #for u in UNROLL
    let a_${g}_${u} = f32(a[a_row_${g} + (k + ${u}u) * a_step]);
    #end
    #for l in ROWS
    {
      #for u in UNROLL
      let a_row_${u} = subgroupBroadcast(a_${g}_${u}, ${l}u);
      #end
      #for s in SIDES, j in COLUMNS, u in UNROLL
      sum_${g}_${l}_${s}_${j} = fma(a_row_${u}, b_${s}_${j}_${u}, sum_${g}_${l}_${s}_${j});
      #end
    }
    #end
    #end
  }
  for (var k = whole; k < K; k++) {
    #for s in SIDES, j in COLUMNS
    let b_${s}_${j} = b_at(b_column_${s}_${j} + k * b_step);
    #end
    #for g in GROUPS
    let a_${g} = f32(a[a_row_${g} + k * a_step]);
    #for l in ROWS
    {
      let a_row = subgroupBroadcast(a_${g}, ${l}u);
      #for s in SIDES, j in COLUMNS
      sum_${g}_${l}_${s}_${j} = fma(a_row, b_${s}_${j}, sum_${g}_${l}_${s}_${j});
      #end
    }
    #end
    #end
  }

  #for g in GROUPS, l in ROWS
  if (row0 + ${g}u * ROWS + ${l}u < M) {
    let start = (row0 + ${g}u * ROWS + ${l}u) * params.c_stride;
    #for j in COLUMNS
    if (column0 + ${j}u * LANES < N) {
      let at = start + column0 + ${j}u * LANES;
#if ${ADDEND}
      c[params.c_first + at] = C_TYPE(sum_${g}_${l}_0_${j} + f32(addend[params.addend_first + at]));
#elif ${ACCUMULATE}
      c[params.c_first + at] = C_TYPE(sum_${g}_${l}_0_${j} + f32(c[params.c_first + at]));
#elif ${SWIGLU}
      let gate = C_TYPE(sum_${g}_${l}_0_${j});
      let up = C_TYPE(sum_${g}_${l}_1_${j});
      c[params.c_first + at] = gate;
      c[params.c_first + at + N] = up;
      y[(row0 + ${g}u * ROWS + ${l}u) * N + column0 + ${j}u * LANES] = C_TYPE(swiglu(f32(gate), f32(up)));
#else
      c[params.c_first + at] = C_TYPE(sum_${g}_${l}_0_${j});
#endif
    }
    #end
  }
  #end
}
