/** Causal attention: forward, and the two passes of its gradient. */
import {
  type AttentionKernel,
  type AttentionSizes,
  type AttentionVariant,
  defaultAttention,
  isOnMatrices,
  isTiled,
  type MatrixAttention,
  matrixRoles,
  matrixWidth,
  type RegisterAttention,
  type TiledAttention,
  turnedTiles,
  vectorsOf,
} from './attention-variant.js';
import { checkIndexable, grid, type KernelCall, kernelCall, type Operand } from './call.js';
import { valueConstants, valueType } from './row-variant.js';
import { softCapConstants } from './soft-cap.js';
import type { Constants } from './source.js';
import type { VariantTable } from './variants.js';
import { rowsWithin } from './windows.js';

/**
 * The operands of a pass, by the names in its .wgsl file. `documents` [B, T] keep attention within documents, see
 * kernels/lib/attention_begins.wgsl; `branches` is a further one of the forward pass.
 */
type AttentionOperands = { readonly qkv: Operand } & Readonly<
  Partial<Record<'out' | 'logsumexp' | 'dout' | 'dqkv' | 'delta' | 'documents' | 'branches', Operand>>
>;

type Documents = { readonly documents?: Operand | undefined };

/** Products of a head's scores and of what is made of them, of [T, D] with [D, T] or [T, T] with [T, D]. */
const PRODUCTS = { attention_forward: 2, attention_backward_query: 3, attention_backward_key_value: 4 };

/** One pass with a given variant. */
function attentionCall(
  kernel: AttentionKernel,
  variant: AttentionVariant,
  { B, T, H, KV, D, scale = 1 / Math.sqrt(D), window = T, softCap }: AttentionSizes,
  operands: AttentionOperands,
): KernelCall {
  checkIndexable(kernel, B * T * (H + 2 * KV) * D);
  const heads = kernel === 'attention_backward_key_value' ? KV : H;
  const [BRANCHES, DOCUMENTS] = [operands.branches !== undefined, operands.documents !== undefined];
  const { file, ownRows, constants } = formOf(kernel, variant, D);
  const begins = { DOCUMENTS, ...windowConstants(window, T), BEGINS: DOCUMENTS || window < T };
  return kernelCall(file, {
    constants: {
      HEAD_SIZE: D,
      TYPE: operands.qkv.type,
      BRANCHES,
      ...begins,
      ...softCapConstants(softCap),
      ...constants,
    },
    operands,
    params: { T, H, KV, scale },
    workgroups: grid(kernel, Math.ceil(T / ownRows), heads, B),
    // a multiply-add for each key that a query sees; with branches or documents the device alone knows how many
    flops: BRANCHES || DOCUMENTS ? undefined : PRODUCTS[kernel] * B * H * D * pairsWithin(T, window),
  });
}

/** The constants of queries that see the newest keys alone, where that is not all. */
export const windowConstants = (window: number, T: number): Constants =>
  window < T ? { IS_LOCAL: true, WINDOW: window } : { IS_LOCAL: false };

/** Twice the pairs of a query and a key that it sees, of T tokens. */
function pairsWithin(T: number, window: number): number {
  const beyond = Math.max(0, T - window);
  return T * (T + 1) - beyond * (beyond + 1);
}

/** The kernel's file, the rows that a workgroup owns, and what the variant is made of. */
function formOf(
  kernel: AttentionKernel,
  variant: AttentionVariant,
  D: number,
): { file: string; ownRows: number; constants: Constants } {
  if (isOnMatrices(variant)) {
    const ownRows = (variant.subgroupsM * variant.blocks * variant.matrix[0]) / matrixRoles(kernel);
    return { file: `${kernel}_matrix`, ownRows, constants: matrixConstants(kernel, variant, D) };
  }
  if (isTiled(variant)) {
    const GRADIENT = kernel !== 'attention_forward';
    const constants = { ...tiledConstants(variant, D), GRADIENT };
    return { file: `${kernel}_tiled`, ownRows: 4 * variant.threadsM, constants };
  }
  return { file: kernel, ownRows: variant.lanes * variant.own, constants: registerConstants(variant, D) };
}

function registerConstants({ lanes, own, rows }: RegisterAttention, D: number): Constants {
  return { LANES: lanes, CHUNKS: Math.ceil(D / lanes), OWN: own, KEYS: rows, QUERIES: rows, ...valueConstants(1) };
}

function tiledConstants({ threadsM, threadsN, blocks, depth }: TiledAttention, D: number): Constants {
  return {
    THREADS_M: threadsM,
    THREADS_N: threadsN,
    BLOCKS: blocks,
    DEPTH: depth,
    VECTORS: vectorsOf(threadsN, D),
    COLUMNS: 4 * blocks,
    ...valueConstants(4),
    ALIGNED: D % 4 === 0,
  };
}

function matrixConstants(kernel: AttentionKernel, variant: MatrixAttention, D: number): Constants {
  const { lanes: LANES, subgroupsM: SUBGROUPS, blocks: BLOCKS, rows: ROWS } = variant;
  const [MATRIX_M, MATRIX_N, MATRIX_K] = variant.matrix;
  const ROLES = matrixRoles(kernel);
  const WIDTH = matrixWidth(kernel, variant, D);
  const SLICE = sliceOf(WIDTH, Math.max(MATRIX_K, 8), 2 * ROWS);
  const VECTOR = [8, 4].find(width => D % width === 0) ?? 1;
  return {
    LANES,
    SUBGROUPS,
    ROLES,
    BLOCKS,
    MATRIX_M,
    MATRIX_N,
    MATRIX_K,
    ROWS,
    SCORE_MATRICES: ROWS / MATRIX_N,
    COLUMN_FOURS: (ROWS / 4 / ROLES) * (MATRIX_M / LANES),
    ROW_STEPS: ROWS / MATRIX_K,
    WIDTH,
    SLICE,
    SLICES: WIDTH / SLICE,
    SLICE_STEPS: SLICE / MATRIX_K,
    SUM_MATRICES: WIDTH / MATRIX_N / (kernel === 'attention_backward_query' ? ROLES : 1), // that a subgroup has
    TURNED_ROWS: WIDTH * turnedTiles(kernel),
    STAGE_STEPS: Math.ceil(((ROWS / 2) * (WIDTH / 8)) / (LANES * SUBGROUPS)),
    IS_VECTOR: VECTOR > 1,
    IS_WORDS: VECTOR === 8,
    IS_WHOLE: WIDTH === D,
    CHUNK: VECTOR === 8 ? 'vec4<u32>' : valueType('f16', VECTOR), // 8 halves are moved as four words
    OUT_CHUNK: valueType('f16', VECTOR > 1 ? 4 : 1),
    ...valueConstants(4),
    TARGET: kernel === 'attention_forward' ? 'out' : 'dqkv',
  };
}

/** The most halves of a row that are whole units and at most `most`, so that the row is whole slices. */
function sliceOf(width: number, unit: number, most: number): number {
  let slices = 1;
  while (width / slices > most || width % (slices * unit) !== 0) slices++;
  return width / slices;
}

function call(
  variants: VariantTable,
  kernel: AttentionKernel,
  sizes: AttentionSizes,
  operands: AttentionOperands,
): KernelCall[] {
  const { B, T, H, KV, D } = sizes;
  rowsWithin(variants.maxBindingBytes, operands.qkv, (H + 2 * KV) * D, B * T); // sequences are not taken apart
  const variant = variants.of('attention', { kernel, sizes, type: operands.qkv.type });
  return [attentionCall(kernel, variant, sizes, operands)];
}

/** `logsumexp` [B, H, T] is kept for the gradient. */
export const attentionForward = (
  variants: VariantTable,
  sizes: AttentionSizes,
  operands: Record<'qkv' | 'out' | 'logsumexp', Operand> & Documents,
): KernelCall[] => call(variants, 'attention_forward', sizes, operands);

/** What a trunk and its branches begin at multiples of: no more keys are taken at a time. */
export const BRANCH_ALIGNMENT = 8;

/** The forward pass over sequences that begin alike: `branches` [B, T, 2], see kernels/attention_forward.wgsl. */
export function attentionBranches(
  variants: VariantTable,
  sizes: AttentionSizes,
  operands: Record<'qkv' | 'out' | 'logsumexp' | 'branches', Operand>,
): KernelCall[] {
  const { B, T, H, KV, D } = sizes;
  const { qkv } = operands;
  rowsWithin(variants.maxBindingBytes, qkv, (H + 2 * KV) * D, B * T); // sequences are not taken apart
  const asked = { kernel: 'attention_forward', sizes, type: qkv.type } as const;
  const tuned = variants.of('attention', asked);
  // matrices have no such form
  const variant = isOnMatrices(tuned) ? defaultAttention(variants.adapter, asked) : tuned;
  const aligned = 'own' in variant ? { ...variant, rows: Math.min(variant.rows, BRANCH_ALIGNMENT) } : variant;
  return [attentionCall('attention_forward', aligned, sizes, operands)];
}

/** Writes the queries' part of `dqkv`, and `delta` [B, H, T], which the other pass reads. */
export const attentionBackwardQuery = (
  variants: VariantTable,
  sizes: AttentionSizes,
  operands: Record<'qkv' | 'out' | 'logsumexp' | 'dout' | 'dqkv' | 'delta', Operand> & Documents,
): KernelCall[] => call(variants, 'attention_backward_query', sizes, operands);

/** Writes the keys' and values' part of `dqkv`. */
export const attentionBackwardKeyValue = (
  variants: VariantTable,
  sizes: AttentionSizes,
  operands: Record<'qkv' | 'logsumexp' | 'delta' | 'dout' | 'dqkv', Operand> & Documents,
): KernelCall[] => call(variants, 'attention_backward_key_value', sizes, operands);
