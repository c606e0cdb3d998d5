/** Attention, forward and the two passes of its gradient, to be tuned. */
import { z } from 'zod';
import { attentionCases } from '../../cases/attention.js';
import type { AdapterDescription } from '../../gpu/adapters.js';
import { matrixShare, matrixWidth } from '../../kernels/attention.js';
import {
  type AttentionKernel,
  type AttentionRequest,
  isOnMatrices,
  isTiled,
  type MatrixAttention,
  rowsAtATime,
  type TiledAttention,
  tiledBytes,
  vectorsOf,
} from '../../kernels/attention-variant.js';
import { BYTES } from '../../kernels/element-type.js';
import { lanesToTry } from '../../kernels/lanes.js';
import { matrixShapes, unusableMatrix } from '../../kernels/matmul-variant.js';
import type { StoredType } from '../../numerics/inputs.js';
import {
  countSchema,
  isSoftware,
  MATRIX_SPEED,
  matrixSchema,
  type Needs,
  product,
  type TunedKind,
  typeSchema,
} from '../kind.js';

export const attention: TunedKind<'attention'> = {
  requestSchema: z.object({
    kernel: z.enum(['attention_forward', 'attention_backward_query', 'attention_backward_key_value']),
    sizes: z.object({ B: countSchema, T: countSchema, H: countSchema, KV: countSchema, D: countSchema }),
    type: typeSchema,
  }),
  variantSchema: z.union([
    z.strictObject({ lanes: countSchema, own: countSchema, rows: countSchema }),
    // as runs of version 0.1.0 recorded the same variant
    z
      .strictObject({ subgroups: z.literal(true), workgroup: countSchema, own: countSchema, rows: countSchema })
      .transform(({ workgroup: lanes, own, rows }) => ({ lanes, own, rows })),
    z.strictObject({ threadsM: countSchema, threadsN: countSchema, blocks: countSchema, depth: countSchema }),
    z.strictObject({ lanes: countSchema, matrix: matrixSchema, subgroupsM: countSchema, rows: countSchema }),
  ]),

  variants(adapter, { type, sizes: { D } }) {
    const lanes = lanesToTry(adapter);
    // whole rows take more registers than a GPU has
    const inRegisters = isSoftware(adapter) ? product({ lanes, own: [1, 2], rows: [1, 2, 4, 8] }) : [];
    const inTiles = product({
      threadsM: isSoftware(adapter) ? [16] : [8, 16],
      threadsN: isSoftware(adapter) ? [8] : [8, 12, 16],
      blocks: isSoftware(adapter) ? [1] : [1, 2],
      depth: [8, 16],
    }).filter(({ threadsN, blocks, depth }) => (4 * threadsN * blocks) % depth === 0 && 4 * threadsN <= 2 * D);
    // a CPU has no matrices: there they take seconds to compile and gain nothing
    const shapes = isSoftware(adapter) || type !== 'f16' ? [] : matrixShapes(adapter);
    const onMatrices = shapes.flatMap(matrix =>
      product({ lanes, subgroupsM: [1, 2, 4], rows: [16, 32, 64] }).map(tile => ({ matrix, ...tile })),
    );
    return [...inRegisters, ...inTiles, ...onMatrices];
  },

  needs({ kernel, sizes: { D } }, variant) {
    if (isOnMatrices(variant)) return matrixNeeds(kernel, variant, D);
    if (isTiled(variant)) return tiledNeeds(kernel, variant, D);
    const { lanes, own, rows } = variant;
    return {
      threads: lanes,
      workgroupBytes: 0,
      lanes,
      sums: own * rows, // the rows in registers, own · D, are few enough in all variants
      unrolled: 2 * own * rows * D,
    };
  },

  // what a thread or a subgroup reads from workgroup memory for each multiply-add: of scores, then of sums
  estimate({ sizes: { D } }, variant) {
    if (isOnMatrices(variant)) return 2 * Math.max(1 / MATRIX_SPEED, 2 * (1 / variant.matrix[0] + 1 / variant.rows));
    if (!isTiled(variant)) return undefined;
    const { threadsM, threadsN, blocks } = variant;
    const vectors = vectorsOf(threadsN, D);
    const perProduct = (columns: number) => Math.max(1, 4 * (1 / 4 + 1 / columns));
    const padded = (4 * threadsN * vectors) / D;
    return (perProduct(4 * blocks) + padded * perProduct(4 * vectors)) * (1 + 1 / threadsM);
  },

  refusal: (adapter, request, variant) =>
    isOnMatrices(variant) ? matrixRefusal(adapter, request, variant) : undefined,

  // the sum is rescaled once for so many rows, and the bound goes by that
  caseOf: ({ kernel, sizes, type }, variant) =>
    attentionCases({
      ...sizes,
      type: type as StoredType,
      rescale: rowsAtATime(variant),
      halves: isOnMatrices(variant),
    })[kernel],

  checkedBy: variant => `${rowsAtATime(variant)} ${isOnMatrices(variant)}`,

  small({ kernel, sizes: { H, KV, D }, type }) {
    return { kernel, sizes: { B: 1, T: 133, H: H / KV, KV: 1, D }, type }; // one group of heads
  },
};

/** A thread's sums of four rows are there all along, and its scores while they are made. */
function tiledNeeds(kernel: AttentionKernel, variant: TiledAttention, D: number): Needs {
  const { threadsM, threadsN, blocks } = variant;
  const vectors = (kernel === 'attention_backward_key_value' ? 2 : 1) * vectorsOf(threadsN, D);
  return {
    threads: threadsM * threadsN,
    workgroupBytes: tiledBytes(variant, D),
    sums: 16 * (vectors + blocks),
    unrolled: 16 * (vectors + blocks),
  };
}

/** How many tiles of scores in f32 and of weights in f16 a kernel has, and rows of sums for a row that it owns. */
const MATRIX_TILES: Readonly<Record<AttentionKernel, readonly [scores: number, weights: number, results: number]>> = {
  attention_forward: [1, 1, 1],
  attention_backward_query: [2, 1, 1],
  attention_backward_key_value: [2, 2, 2],
};

/** Returns the bytes of workgroup memory, and what a thread holds. */
function matrixNeeds(kernel: AttentionKernel, variant: MatrixAttention, D: number): Needs {
  const { lanes, subgroupsM, rows, matrix } = variant;
  const [M, N, K] = matrix;
  const share = matrixShare(kernel, variant, D);
  const own = (subgroupsM * M) / share;
  const width = matrixWidth(kernel, variant, D);
  const PAD = 8; // halves
  const [scores, weights, results] = MATRIX_TILES[kernel];
  const staged = BYTES.f16 * (width + PAD) * 2 * rows;
  const tiles = own * (scores * BYTES.f32 * (rows + PAD / 2) + weights * BYTES.f16 * (rows + PAD));
  const statistics = 2 * BYTES.f32 * rows;
  const products = (rows / N) * (width / K);
  return {
    threads: lanes * subgroupsM,
    workgroupBytes: staged + tiles + statistics,
    lanes,
    sums: (results * width * M) / share / lanes,
    unrolled: 4 * products,
  };
}

function matrixRefusal(
  adapter: AdapterDescription,
  { kernel, sizes: { D }, type }: AttentionRequest,
  variant: MatrixAttention,
): string | undefined {
  const { lanes, matrix, rows } = variant;
  const [M, N, K] = matrix;
  if (lanes % M !== 0) return `${M} rows of a matrix cannot be shared out among ${lanes} lanes`;
  if (rows % N !== 0 || rows % K !== 0) return `${rows} rows that are not whole matrices of ${matrix.join(' x ')}`;
  if (rows % ((4 * lanes * matrixShare(kernel, variant, D)) / M) !== 0) {
    return `${rows} rows, which are not four scores for each of the lanes of a row`;
  }
  return unusableMatrix(adapter, type, matrix);
}
