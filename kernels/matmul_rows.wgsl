// C[M, N] = A Bᵀ (+ addend), for A [M, K] of a few rows and weights B [N, K], each of which is read once: the contract
// of matmul_subgroup, in its form NT alone. What bounds such a product is how fast B comes, so B is loaded by CHUNKs of
// VECTOR elements along K, 16 bytes where K allows it, and goes through no workgroup memory.
// A team of TEAM threads has ROWS rows and COLUMNS columns (of each side). Its threads take chunks of K in turn, UNROLL
// at a time so that as many loads are on their way, and add up what each has summed: by LEVELS subgroup shuffles where
// a team is one subgroup of LANES lanes, else (LANES 0) in a tree in workgroup memory. A workgroup is TEAMS teams.
// Columns beyond the edge read the last valid one, rows too, and are not stored.
// Operands are f32 or f16 (*_TYPE), B with B_BFLOAT bf16; products and sums are f32, in one fixed order for an M that
// rounds up to ROWS. Values of two bytes are loaded as words of two (*_WORDS) where a chunk has several.
#include lib/matmul_operands.wgsl
#include lib/bfloat.wgsl
#include lib/swiglu.wgsl

var<storage, read> a: array<A_STORED>;
var<storage, read> b: array<B_STORED>;

// VECTOR elements. `add_products` adds those of two chunks to a sum, one after the other.
#if ${IS_OCTET}
alias CHUNK = mat2x4f;
fn add_products(x: CHUNK, y: CHUNK, sum: f32) -> f32 { return add_four(x[1], y[1], add_four(x[0], y[0], sum)); }
#elif ${IS_QUARTET}
alias CHUNK = vec4f;
fn add_products(x: CHUNK, y: CHUNK, sum: f32) -> f32 { return add_four(x, y, sum); }
#else
alias CHUNK = f32;
fn add_products(x: CHUNK, y: CHUNK, sum: f32) -> f32 { return fma(x, y, sum); }
#endif
fn add_four(x: vec4f, y: vec4f, sum: f32) -> f32 {
  return fma(x.w, y.w, fma(x.z, y.z, fma(x.y, y.y, fma(x.x, y.x, sum))));
}

// The chunk number `i` of a matrix.
fn load_a(i: u32) -> CHUNK {
#if ${A_WORDS}
  let words = a[i];
#if ${IS_OCTET}
  return CHUNK(
    vec4f(unpack2x16float(words.x), unpack2x16float(words.y)),
    vec4f(unpack2x16float(words.z), unpack2x16float(words.w)));
#else
  return CHUNK(unpack2x16float(words.x), unpack2x16float(words.y));
#endif
#elif ${IS_OCTET}
  return CHUNK(a[2u * i], a[2u * i + 1u]);
#else
  return CHUNK(a[i]);
#endif
}

fn load_b(i: u32) -> CHUNK {
#if ${B_WORDS}
  let words = b[i];
#if ${IS_OCTET}
  return CHUNK(
    vec4f(${B_UNPACK}(words.x), ${B_UNPACK}(words.y)),
    vec4f(${B_UNPACK}(words.z), ${B_UNPACK}(words.w)));
#else
  return CHUNK(${B_UNPACK}(words.x), ${B_UNPACK}(words.y));
#endif
#elif ${B_BFLOAT}
  return unpack2x16bfloat(b[i / 2u])[i % 2u];
#else
  return CHUNK(b[i]);
#endif
}

const SUMS = ROWS * SIDES * COLUMNS;
// What a thread has summed, [team][sum][thread]; with subgroups only what the team has, [team][sum].
#if ${SUBGROUPS}
const PARTS = 1u;
#else
const PARTS = TEAM;
#endif
var<workgroup> sums: array<f32, TEAMS * SUMS * PARTS>;
fn sum_of(team: u32, row: u32, side: u32, column: u32) -> f32 {
  return sums[(team * SUMS + (row * SIDES + side) * COLUMNS + column) * PARTS];
}

@compute @workgroup_size(TEAMS * TEAM)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
  let M = params.M;
  let N = params.N;
  let K = params.K;
  let team = index / TEAM;
  let thread = index % TEAM;
  let row0 = workgroup.y * ROWS;
  let column0 = workgroup.x * TEAMS * COLUMNS;

  // in chunks, like all that follows along K
  #for r in ROWS
  let a_row_${r} = (params.a_first + min(row0 + ${r}u, M - 1u) * params.a_stride) / VECTOR;
  #end
  #for s in SIDES, j in COLUMNS
  let b_row_${s}_${j} =
    (params.b_first + (${s}u * N + min(column0 + team * COLUMNS + ${j}u, N - 1u)) * params.b_stride) / VECTOR;
  #end
  #for r in ROWS, s in SIDES, j in COLUMNS
  var sum_${r}_${s}_${j} = 0f;
  #end

  let chunks = K / VECTOR;
  let whole = chunks - chunks % (UNROLL * TEAM);
  for (var k0 = 0u; k0 < whole; k0 += UNROLL * TEAM) {
    #for u in UNROLL, s in SIDES, j in COLUMNS
    let b_${u}_${s}_${j} = load_b(b_row_${s}_${j} + k0 + ${u}u * TEAM + thread);
    #end
    #for u in UNROLL, r in ROWS
    {
      let a_chunk = load_a(a_row_${r} + k0 + ${u}u * TEAM + thread);
      #for s in SIDES, j in COLUMNS
      sum_${r}_${s}_${j} = add_products(a_chunk, b_${u}_${s}_${j}, sum_${r}_${s}_${j});
      #end
    }
    #end
  }
  for (var k = whole + thread; k < chunks; k += TEAM) {
    #for s in SIDES, j in COLUMNS
    let b_${s}_${j} = load_b(b_row_${s}_${j} + k);
    #end
    #for r in ROWS
    {
      let a_chunk = load_a(a_row_${r} + k);
      #for s in SIDES, j in COLUMNS
      sum_${r}_${s}_${j} = add_products(a_chunk, b_${s}_${j}, sum_${r}_${s}_${j});
      #end
    }
    #end
  }

#if ${SUBGROUPS}
  #for i in LEVELS, r in ROWS, s in SIDES, j in COLUMNS
  sum_${r}_${s}_${j} += subgroupShuffleXor(sum_${r}_${s}_${j}, 1u << ${i}u);
  #end
  if (thread == 0u) {
    #for r in ROWS, s in SIDES, j in COLUMNS
    sums[team * SUMS + (${r}u * SIDES + ${s}u) * COLUMNS + ${j}u] = sum_${r}_${s}_${j};
    #end
  }
#else
  let own = team * SUMS * TEAM + thread;
  #for r in ROWS, s in SIDES, j in COLUMNS
  sums[own + ((${r}u * SIDES + ${s}u) * COLUMNS + ${j}u) * TEAM] = sum_${r}_${s}_${j};
  #end
  for (var half = TEAM / 2u; half > 0u; half = half >> 1u) {
    workgroupBarrier();
    if (thread < half) {
      for (var i = 0u; i < SUMS * TEAM; i += TEAM) { sums[own + i] += sums[own + i + half]; }
    }
  }
#endif
  workgroupBarrier();

  // neighbouring threads store neighbouring columns
  for (var i = index; i < ROWS * TEAMS * COLUMNS; i += TEAMS * TEAM) {
    let r = i / (TEAMS * COLUMNS);
    let row = row0 + r;
    let column = column0 + i % (TEAMS * COLUMNS);
    let owner = i / COLUMNS % TEAMS;
    if (row >= M || column >= N) { continue; }
    let sum = sum_of(owner, r, 0u, i % COLUMNS);
    let at = row * params.c_stride + column;
#if ${ADDEND}
    c[params.c_first + at] = C_TYPE(sum + f32(addend[params.addend_first + at]));
#elif ${ACCUMULATE}
    c[params.c_first + at] = C_TYPE(sum + f32(c[params.c_first + at]));
#elif ${SWIGLU}
    let gate = C_TYPE(sum);
    let up = C_TYPE(sum_of(owner, r, 1u, i % COLUMNS));
    c[params.c_first + at] = gate;
    c[params.c_first + at + N] = up;
    y[row * N + column] = C_TYPE(swiglu(f32(gate), f32(up)));
#else
    c[params.c_first + at] = C_TYPE(sum);
#endif
  }
}
