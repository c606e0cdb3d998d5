/** Matrix products: the call of each variant, and products of tensors beyond a binding, window by window. */
import { checkIndexable, grid, type KernelCall, kernelCall, type Operand } from './call.js';
import { BYTES, type ElementType } from './element-type.js';
import { FEW_ROWS, type MatmulSizes, type MatmulVariant, TEAM } from './matmul-variant.js';
import type { Constants } from './source.js';
import { type Activation, activationConstants, swigluForward } from './swiglu.js';
import type { VariantTable } from './variants.js';
import { rowsWithin, type Stretch, stretches, type Window, windowOf } from './windows.js';

export interface MatmulOperands {
  readonly a: Operand;
  readonly b: Operand;
  readonly c: Operand;
  /** Added to the product: another tensor, or 'c' for what C holds already. */
  readonly addend?: Operand | 'c' | undefined;
  /** Where A or C are not whole: they are the columns of a wider matrix as stored, from `first` on. */
  readonly columns?: { readonly of: 'a' | 'c'; readonly first: number; readonly width: number } | undefined;
}

/** The product with the variant that the table holds for it: one call, or one for each window. */
export function matmul(variants: VariantTable, sizes: MatmulSizes, operands: MatmulOperands): KernelCall[] {
  const { a, b, c } = operands;
  const variant = variants.of('matmul', { ...sizes, types: { a: a.type, b: b.type, c: c.type } });
  return matmulCalls(variant, sizes, operands, variants.maxBindingBytes);
}

/**
 * The product with a given variant. Rows of A, B or C that exceed a binding are taken in windows; where K is cut, the
 * windows after the first add to C.
 */
export function matmulCalls(
  variant: MatmulVariant,
  sizes: MatmulSizes,
  operands: MatmulOperands,
  maxBindingBytes = Number.MAX_SAFE_INTEGER,
): KernelCall[] {
  const { form, M, N, K } = sizes;
  const { a, b, c, addend, columns } = operands;
  const placed = (of: 'a' | 'c', width: number) => (columns?.of === of ? columns : whole(width));
  const [inA, inC] = [placed('a', form === 'TN' ? M : K), placed('c', N)];
  const strides: Strides = [inA.width, form === 'NT' ? K : N, inC.width];
  for (const elements of [(form === 'TN' ? K : M) * inA.width, K * N, M * inC.width]) {
    checkIndexable('matmul', elements);
  }
  const within = (operand: Operand, rowElements: number) => rowsWithin(maxBindingBytes, operand, rowElements);
  const added = addend === undefined || addend === 'c' ? undefined : addend;
  const mostM = Math.min(
    form === 'TN' ? Number.MAX_SAFE_INTEGER : within(a, inA.width),
    within(c, inC.width),
    added ? within(added, inC.width) : Number.MAX_SAFE_INTEGER,
  );
  const mostN = form === 'NT' ? within(b, K) : Number.MAX_SAFE_INTEGER;
  const mostK = Math.min(
    form === 'TN' ? within(a, inA.width) : Number.MAX_SAFE_INTEGER,
    form === 'NT' ? Number.MAX_SAFE_INTEGER : within(b, N),
  );
  const calls: KernelCall[] = [];
  for (const m of stretches(M, mostM)) {
    for (const n of stretches(N, mostN)) {
      for (const k of stretches(K, mostK)) {
        const windows = {
          a: form === 'TN' ? matrixWindow(a, k, m, inA) : matrixWindow(a, m, k, inA),
          b: form === 'NT' ? matrixWindow(b, n, k, whole(K)) : matrixWindow(b, k, n, whole(N)),
          c: matrixWindow(c, m, n, inC),
          addend:
            k.start > 0 ? ('c' as const) : added ? matrixWindow(added, m, n, inC) : addend === 'c' ? 'c' : undefined,
        };
        calls.push(call(variant, strides, { form, M: m.count, N: n.count, K: k.count }, windows));
      }
    }
  }
  return calls;
}

/** Where a matrix stands: the columns from `first` on of one that is stored in rows of `width` elements. */
interface Columns {
  readonly first: number;
  readonly width: number;
}
const whole = (width: number): Columns => ({ first: 0, width });

/** Rows and columns of a stored matrix. */
function matrixWindow(operand: Operand, rows: Stretch, columns: Stretch, { first, width }: Columns): Window {
  const start = rows.start * width + first + columns.start;
  return windowOf(operand, start, (rows.count - 1) * width + columns.count);
}

interface Windows {
  readonly a: Window;
  readonly b: Window;
  readonly c: Window;
  readonly addend: Window | 'c' | undefined;
}

/** One dispatch, of the sizes `part`. */
function call(variant: MatmulVariant, strides: Strides, part: MatmulSizes, windows: Windows): KernelCall {
  const { form, M, N, K } = part;
  const { a, b, c, addend } = windows;
  const added = addend === undefined || addend === 'c' ? undefined : addend;
  const [name, constants, tileM, tileN] = specialisation(variant, part, strides, windows);
  const label = `${name} ${form}${typesLabel(a.operand, b.operand)}`;
  return kernelCall(name, {
    constants: {
      ...typeConstants(a.operand, b.operand, c.operand),
      ADDEND_STORED: added?.operand.type ?? 'f32',
      TRANSPOSE_A: form === 'TN',
      TRANSPOSE_B: form === 'NT',
      ADDEND: added !== undefined,
      ACCUMULATE: addend === 'c',
      SWIGLU: false,
      ...activationConstants(),
      ...constants,
    },
    operands: { a: a.operand, b: b.operand, c: c.operand, addend: added?.operand },
    params: {
      ...paramsOf(part, strides),
      a_first: a.first,
      b_first: b.first,
      c_first: c.first,
      addend_first: added?.first ?? 0,
    },
    workgroups: grid(label, Math.ceil(N / tileN), Math.ceil(M / tileM)),
    label,
    flops: 2 * M * N * K,
  });
}

/** Elements from one stored row of A, of B, of C to the next. */
type Strides = readonly [a: number, b: number, c: number];

const paramsOf = ({ M, N, K }: MatmulSizes, [a_stride, b_stride, c_stride]: Strides) => {
  return { M, N, K, a_stride, b_stride, c_stride };
};

/** The types of the operands, C stored element by element; a variant that stores vectors has others. */
const typeConstants = (a: Operand, b: Operand, c: Operand): Constants => ({
  A_TYPE: a.type,
  B_TYPE: b.type,
  C_TYPE: c.type,
  C_STORED: c.type,
  VALUE: 'f32',
});

/** What of the operands is not f32. */
const typesLabel = (a: Operand, b: Operand): string => {
  const type = [a.type, b.type].find(type => type !== 'f32');
  return type ? ` ${type}` : '';
};

/** Whether a thread of the variant has gate and up of an element in its registers. */
export const hasBothSides = (variant: MatmulVariant): variant is Exclude<MatmulVariant, { kernel: 'matrix' }> =>
  variant.kernel !== 'matrix' && variant.columns % 2 === 0;

/**
 * gateUp [M, 2F] = x [M, K] weightᵀ, weight [2F, K], and y [M, F] = silu(gate) * up of its halves, or another
 * activation of the gate: in one pass where the variant has both sides in a thread's registers and all fits a binding,
 * else in two.
 */
export function matmulSwiglu(
  variants: VariantTable,
  { M, F, K, activation }: Readonly<Record<'M' | 'F' | 'K', number>> & { readonly activation?: Activation | undefined },
  operands: Record<'x' | 'weight' | 'gateUp' | 'y', Operand>,
): KernelCall[] {
  const { x, weight, gateUp, y } = operands;
  const sizes = { form: 'NT', M, N: 2 * F, K } as const;
  const variant = variants.of('matmul', { ...sizes, types: { a: x.type, b: weight.type, c: gateUp.type } });
  const fits = Object.values(operands).every(({ sizeBytes }) => sizeBytes <= variants.maxBindingBytes);
  if (!hasBothSides(variant) || !fits) {
    return [
      ...matmulCalls(variant, sizes, { a: x, b: weight, c: gateUp }, variants.maxBindingBytes),
      ...swigluForward(variants, { rows: M, columns: F, activation }, { x: gateUp, y }),
    ];
  }
  checkIndexable('matmul_swiglu', M * 2 * F);
  const part = { form: 'NT', M, N: F, K } as const;
  const all = (operand: Operand): Window => ({ operand, first: 0 });
  const windows = { a: all(x), b: all(weight), c: all(gateUp), addend: undefined };
  const perSide = { ...variant, columns: variant.columns / 2 };
  const strides: Strides = [K, K, 2 * F];
  const [name, constants, tileM, tileN] = specialisation(perSide, part, strides, windows);
  const label = `${name}_swiglu NT${typesLabel(x, weight)}`;
  const call = kernelCall(name, {
    constants: {
      ...typeConstants(x, weight, gateUp),
      TRANSPOSE_A: false,
      TRANSPOSE_B: true,
      ADDEND: false,
      ACCUMULATE: false,
      SWIGLU: true,
      ...activationConstants(activation),
      ...constants,
      SIDES: 2,
    },
    operands: { a: x, b: weight, c: gateUp, y },
    params: { ...paramsOf(part, strides), a_first: 0, b_first: 0, c_first: 0, addend_first: 0 },
    workgroups: grid(label, Math.ceil(F / tileN), Math.ceil(M / tileM)),
    label,
    flops: 4 * M * F * K,
  });
  return [call];
}

/** The kernel's name, its tile as constants, and what a workgroup computes: rows and columns of C. */
function specialisation(
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
