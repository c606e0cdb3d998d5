/** Attention, forward and the two passes of its gradient, to be tuned. */
import { z } from 'zod';
import { attentionCases } from '../../cases/attention.js';
import type { AdapterDescription } from '../../gpu/adapters.js';
import {
  type AttentionKernel,
  type AttentionRequest,
  isOnMatrices,
  isTiled,
  type MatrixAttention,
  matrixBytes,
  matrixRoles,
  matrixWidth,
  rowsAtATime,
  type TiledAttention,
  tiledBytes,
  vectorsOf,
} from '../../kernels/attention-variant.js';
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
    sizes: z.object({
      ...{ B: countSchema, T: countSchema, H: countSchema, KV: countSchema, D: countSchema },
      softCap: z.number().positive().optional(),
    }),
    type: typeSchema,
  }),
  variantSchema: z.union([
    z.strictObject({ lanes: countSchema, own: countSchema, rows: countSchema }),
    // as runs of version 0.1.0 recorded the same variant
    z
      .strictObject({ subgroups: z.literal(true), workgroup: countSchema, own: countSchema, rows: countSchema })
      .transform(({ workgroup: lanes, own, rows }) => ({ lanes, own, rows })),
    z.strictObject({ threadsM: countSchema, threadsN: countSchema, blocks: countSchema, depth: countSchema }),
    z.strictObject({
      lanes: countSchema,
      matrix: matrixSchema,
      subgroupsM: countSchema,
      blocks: countSchema,
      rows: countSchema,
    }),
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
      product({ lanes, subgroupsM: [2, 4, 8], blocks: [1, 2], rows: [16, 32] }).map(tile => ({ matrix, ...tile })),
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
    if (isOnMatrices(variant))
      return 2 * Math.max(1 / MATRIX_SPEED, 1 / (variant.matrix[0] * variant.blocks) + 1 / variant.rows);
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

  small({ kernel, sizes: { H, KV, D, softCap }, type }) {
    return { kernel, sizes: { B: 1, T: 133, H: H / KV, KV: 1, D, softCap }, type }; // one group of heads
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

/** Returns the bytes of workgroup memory, and what a thread holds: own rows in halves, and sums of them. */
function matrixNeeds(kernel: AttentionKernel, variant: MatrixAttention, D: number): Needs {
  const { lanes, subgroupsM, blocks, rows, matrix } = variant;
  const [M, N, K] = matrix;
  const width = matrixWidth(kernel, variant, D);
  const sums = kernel === 'attention_backward_query' ? width / 2 : width;
  const own = width / 2; // halves, two to a register
  return {
    threads: lanes * subgroupsM,
    workgroupBytes: matrixBytes(kernel, variant, D),
    lanes,
    sums: (blocks * M * (own + sums)) / lanes,
    unrolled: (4 * blocks * rows * width) / (N * K),
  };
}

function matrixRefusal(
  adapter: AdapterDescription,
  { kernel, type }: AttentionRequest,
  { lanes, matrix, subgroupsM, rows }: MatrixAttention,
): string | undefined {
  const [M, N, K] = matrix;
  if (lanes % M !== 0) return `${M} rows of a matrix cannot be shared out among ${lanes} lanes`;
  if (rows % N !== 0 || rows % K !== 0) return `${rows} rows that are not whole matrices of ${matrix.join(' x ')}`;
  const roles = matrixRoles(kernel);
  if (subgroupsM % roles !== 0) return `${subgroupsM} subgroups, of which ${roles} own the same rows`;
  if (rows % ((4 * lanes * roles) / M) !== 0) {
    return `${rows} rows, which are not four scores for each of the lanes of a row`;
  }
  return unusableMatrix(adapter, type, matrix);
}
