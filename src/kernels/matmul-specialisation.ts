/** What a variant of the matrix product is compiled with: the kernel, its tile, and how its operands are aligned. */
import { BYTES, type ElementType } from './element-type.js';
import { FEW_ROWS, type MatmulSizes, type MatmulVariant, TEAM } from './matmul-variant.js';
import type { Constants } from './source.js';
import type { Window } from './windows.js';

/** What a call takes of its operands. */
export interface Windows {
  readonly a: Window;
  readonly b: Window;
  readonly c: Window;
  readonly addend: Window | 'c' | undefined;
}

/** Elements from one stored row of A, of B, of C to the next. */
export type Strides = readonly [a: number, b: number, c: number];

/** The kernel's name, its tile as constants, and what a workgroup computes: rows and columns of C. */
export function specialisation(
  variant: MatmulVariant,
  { form, M, N, K }: MatmulSizes,
  [strideA, strideB, strideC]: Strides,
  { a, b, c, addend }: Windows,
): [name: string, constants: Constants, tileM: number, tileN: number] {
  const { columns: COLUMNS } = variant;
  // a product of a few rows, such as a step of generation, computes hardly more; a few numbers of them are compiled
  const rowsUpTo = (most: number) => Math.min(most, 2 ** Math.ceil(Math.log2(M)));
  if (variant.kernel === 'subgroup') {
    const { lanes: LANES, unroll: UNROLL } = variant;
    const ROWS = rowsUpTo(LANES);
    const GROUPS = Math.min(variant.groups, Math.ceil(M / LANES));
    const { type } = b.operand;
    const B_PAIRS = BYTES[type] === 2 && form === 'NT' && [UNROLL, strideB, b.first].every(n => n % 2 === 0);
    const B_WORDS = type === 'bf16' || B_PAIRS;
    const B_UNPACK = type === 'bf16' ? 'unpack2x16bfloat' : 'unpack2x16float';
    const constants = { LANES, ROWS, GROUPS, COLUMNS, UNROLL, B_WORDS, B_PAIRS, B_UNPACK, SIDES: 1 };
    return ['matmul_subgroup', constants, ROWS * GROUPS, LANES * COLUMNS];
  }
  // Vectors of elements can be loaded where every row of the stored matrix is a whole number of them
  const rowOfA = form === 'TN' ? M : K;
  const rowOfB = form === 'NT' ? K : N;
  const aligned = (width: number, row: number, stride: number, { first }: Window) =>
    [row, stride, first].every(n => n % width === 0);
  if (variant.kernel === 'rows') {
    if (form !== 'NT') throw new Error(`matmul_rows was asked for the form ${form}`);
    const ROWS = rowsUpTo(FEW_ROWS);
    const { lanes: LANES, teams: TEAMS, unroll: UNROLL } = variant;
    const widest = BYTES[b.operand.type] === 2 ? [8, 4] : [4];
    const VECTOR = widest.find(width => aligned(width, K, strideA, a) && aligned(width, K, strideB, b)) ?? 1;
    const hasWords = (type: ElementType) => BYTES[type] === 2 && VECTOR > 1;
    // values of two bytes fill words; of others a chunk of 8 is two vectors
    const stored = (type: ElementType) =>
      hasWords(type) ? `vec${VECTOR / 2}<u32>` : VECTOR > 1 ? `vec4<${type}>` : type === 'bf16' ? 'u32' : type;
    const constants = {
      LANES,
      TEAM: LANES || TEAM,
      LEVELS: Math.log2(LANES || TEAM),
      TEAMS,
      ROWS,
      COLUMNS,
      UNROLL,
      VECTOR,
      SUBGROUPS: LANES > 0,
      IS_OCTET: VECTOR === 8,
      IS_QUARTET: VECTOR === 4,
      A_STORED: stored(a.operand.type),
      B_STORED: stored(b.operand.type),
      A_WORDS: hasWords(a.operand.type),
      B_WORDS: hasWords(b.operand.type),
      B_BFLOAT: b.operand.type === 'bf16',
      B_UNPACK: b.operand.type === 'bf16' ? 'unpack2x16bfloat' : 'unpack2x16float',
      SIDES: 1,
    };
    return ['matmul_rows', constants, ROWS, TEAMS * COLUMNS];
  }
  const { rows: ROWS, depth: DEPTH } = variant;
  if (variant.kernel === 'tiled') {
    const { threadsM: THREADS_M, threadsN: THREADS_N } = variant;
    const ALIGNED_A = aligned(4, rowOfA, strideA, a);
    const ALIGNED_B = aligned(4, rowOfB, strideB, b);
    const B_BFLOAT = b.operand.type === 'bf16';
    const added = addend === 'c' ? undefined : addend;
    const ALIGNED_C = [c, added ?? c].every(window => aligned(4, N, strideC, window));
    const VALUE = 'vec4<f32>';
    const alignment = { ALIGNED_A, ALIGNED_B, ALIGNED_C };
    const tile = { THREADS_M, THREADS_N, ROWS, COLUMNS, DEPTH, ...alignment, B_BFLOAT, VALUE, SIDES: 1 };
    const constants = ALIGNED_C
      ? { ...tile, C_STORED: `vec4<${c.operand.type}>`, ADDEND_STORED: `vec4<${(added ?? c).operand.type}>` }
      : tile;
    return ['matmul_tiled', constants, 4 * THREADS_M * ROWS, 4 * THREADS_N * COLUMNS];
  }
  const { lanes: LANES, subgroupsM: SUBGROUPS_M, subgroupsN: SUBGROUPS_N } = variant;
  const [MATRIX_M, MATRIX_N, MATRIX_K] = variant.matrix;
  const width = (row: number, stride: number, window: Window) => {
    const widths = window.operand.type === 'f16' ? [8, 4] : [4];
    return widths.find(n => aligned(n, row, stride, window)) ?? 1;
  };
  const chunk = (side: 'A' | 'B', type: ElementType, VECTOR: number): Constants => ({
    [`${side}_VECTOR`]: VECTOR,
    // 8 halves are moved as four words; narrower chunks are converted on the way
    [`${side}_STORED`]: VECTOR === 8 ? 'vec4<u32>' : VECTOR === 4 ? `vec4<${type}>` : type,
    [`${side}_CHUNK`]: VECTOR === 8 ? 'vec4<u32>' : VECTOR === 4 ? 'vec4<f16>' : 'f16',
  });
  const tileM = SUBGROUPS_M * ROWS * MATRIX_M;
  const tileN = SUBGROUPS_N * COLUMNS * MATRIX_N;
  const threads = LANES * SUBGROUPS_M * SUBGROUPS_N;
  const vectorA = width(rowOfA, strideA, a);
  const vectorB = width(rowOfB, strideB, b);
  const constants = {
    LANES,
    SUBGROUPS_M,
    SUBGROUPS_N,
    MATRIX_M,
    MATRIX_N,
    MATRIX_K,
    ROWS,
    COLUMNS,
    DEPTH,
    STEPS: DEPTH / MATRIX_K,
    A_LOADS: Math.ceil((tileM * DEPTH) / vectorA / threads),
    B_LOADS: Math.ceil((tileN * DEPTH) / vectorB / threads),
    ...chunk('A', a.operand.type, vectorA),
    ...chunk('B', b.operand.type, vectorB),
  };
  return ['matmul_matrix', constants, tileM, tileN];
}
