/** Attention, forward and the two passes of its gradient, to be tuned. */
import { z } from 'zod';
import { attentionCases } from '../../cases/attention.js';
import type { AdapterDescription } from '../../gpu/adapters.js';
import { matrixShare, matrixWidth } from '../../kernels/attention.js';
import {
  type AttentionKernel,
  type AttentionRequest,
  isOnMatrices,
  type MatrixAttention,
} from '../../kernels/attention-variant.js';
import { BYTES } from '../../kernels/element-type.js';
import { lanesToTry } from '../../kernels/lanes.js';
import { matrixShapes, unusableMatrix } from '../../kernels/matmul-variant.js';
import type { StoredType } from '../../numerics/inputs.js';
import { countSchema, isSoftware, matrixSchema, type Needs, product, type TunedKind, typeSchema } from '../kind.js';

export const attention: TunedKind<'attention'> = {
  requestSchema: z.object({
    kernel: z.enum(['attention_forward', 'attention_backward_query', 'attention_backward_key_value']),
    sizes: z.object({ B: countSchema, T: countSchema, H: countSchema, KV: countSchema, D: countSchema }),
    type: typeSchema,
  }),
  variantSchema: z.union([
    z.strictObject({ subgroups: z.boolean(), workgroup: countSchema, own: countSchema, rows: countSchema }),
    z.strictObject({ lanes: countSchema, matrix: matrixSchema, subgroupsM: countSchema, rows: countSchema }),
  ]),

  variants(adapter, { type }) {
    const lanes = lanesToTry(adapter);
    const bySubgroups = product({ workgroup: lanes, own: [1, 2], rows: [1, 2, 4, 8] });
    const byMemory = product({
      workgroup: isSoftware(adapter) ? [64] : [32, 64, 128, 256],
      own: isSoftware(adapter) ? [1] : [1, 2],
      rows: isSoftware(adapter) ? [8] : [4, 8, 16, 32],
    });
    // a CPU has no matrices: there they take seconds to compile and gain nothing
    const shapes = isSoftware(adapter) || type !== 'f16' ? [] : matrixShapes(adapter);
    const onMatrices = shapes.flatMap(matrix =>
      product({ lanes, subgroupsM: [1, 2, 4], rows: [16, 32, 64] }).map(tile => ({ matrix, ...tile })),
    );
    return [
      ...bySubgroups.map(tile => ({ subgroups: true, ...tile })),
      ...byMemory.map(tile => ({ subgroups: false, ...tile })),
      ...onMatrices,
    ];
  },

  needs(request, variant) {
    const { D } = request.sizes;
    if (isOnMatrices(variant)) return matrixNeeds(request.kernel, variant, D);
    const { subgroups, workgroup, own, rows } = variant;
    return {
      threads: workgroup,
      workgroupBytes: subgroups ? 0 : 2 * BYTES.f32 * rows * D,
      ...(subgroups && { lanes: workgroup }),
      sums: own * rows, // the rows in registers, own · D, are few enough in all variants
      unrolled: 2 * own * rows * D,
    };
  },

  refusal: (adapter, request, variant) =>
    isOnMatrices(variant) ? matrixRefusal(adapter, request, variant) : undefined,

  // the sum is rescaled once for so many rows, and the bound goes by that
  caseOf: ({ kernel, sizes, type }, variant) =>
    attentionCases({ ...sizes, type: type as StoredType, rescale: variant.rows, halves: isOnMatrices(variant) })[
      kernel
    ],

  checkedBy: variant => `${variant.rows} ${isOnMatrices(variant)}`,

  small({ kernel, sizes: { H, KV, D }, type }) {
    return { kernel, sizes: { B: 1, T: 133, H: H / KV, KV: 1, D }, type }; // one group of heads
  },
};

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
