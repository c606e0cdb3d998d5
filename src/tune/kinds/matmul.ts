/** Matrix products, to be tuned. */
import { z } from 'zod';
import { type MatmulTypes, matmulCase } from '../../cases/matmul.js';
import { bucket } from '../../kernels/bucket.js';
import { BYTES } from '../../kernels/element-type.js';
import { lanesToTry } from '../../kernels/lanes.js';
import {
  areHalves,
  ENOUGH_WORKGROUPS,
  FEW_ROWS,
  type MatmulVariant,
  matrixShapes,
  TEAM,
  unusableMatrix,
} from '../../kernels/matmul-variant.js';
import {
  countSchema,
  isSoftware,
  MATRIX_SPEED,
  matrixSchema,
  type Needs,
  oddSize,
  product,
  type TunedKind,
  typeSchema,
} from '../kind.js';

/** A kernel and its counts. */
const variantOf = <Kernel extends string, Name extends string>(kernel: Kernel, ...names: Name[]) =>
  z.strictObject({
    kernel: z.literal(kernel),
    ...(Object.fromEntries(names.map(name => [name, countSchema])) as Record<Name, typeof countSchema>),
  });

const hasFewRows = ({ M }: { readonly M: number }): boolean => bucket(M) <= FEW_ROWS;

export const matmul: TunedKind<'matmul'> = {
  requestSchema: z.object({
    form: z.enum(['NN', 'NT', 'TN']),
    M: countSchema,
    N: countSchema,
    K: countSchema,
    types: z.object({ a: typeSchema, b: typeSchema, c: typeSchema }),
  }),
  variantSchema: z.discriminatedUnion('kernel', [
    variantOf('rows', 'teams', 'columns', 'unroll').extend({ lanes: z.int().nonnegative() }),
    variantOf('subgroup', 'lanes', 'groups', 'columns', 'unroll'),
    variantOf('tiled', 'threadsM', 'threadsN', 'rows', 'columns', 'depth'),
    variantOf('matrix', 'lanes', 'subgroupsM', 'subgroupsN', 'rows', 'columns', 'depth').extend({
      matrix: matrixSchema,
    }),
  ]),

  variants(adapter, { form, M, types }) {
    const variants: MatmulVariant[] = [];
    if (form === 'NT' && hasFewRows({ M })) {
      for (const tile of product({
        lanes: [...lanesToTry(adapter), 0],
        teams: [1, 2, 4],
        columns: [1, 2, 4],
        unroll: [1, 2, 4],
      })) {
        variants.push({ kernel: 'rows', ...tile });
      }
    }
    for (const lanes of lanesToTry(adapter)) {
      const rows = [8, 16, 32, 64]
        .map(count => count / lanes)
        .filter(groups => groups >= 1 && Number.isInteger(groups));
      const groups = [...new Set([1, ...rows])];
      for (const tile of product({ groups, columns: [2, 4, 8], unroll: [1, 2, 4, 8] })) {
        variants.push({ kernel: 'subgroup', lanes, ...tile });
      }
    }
    // a CPU runs a barrier as the end of a loop over all threads: one tile shows whether that is worth it
    const threads = isSoftware(adapter)
      ? [[8, 8]]
      : [
          [8, 8],
          [8, 16],
          [16, 16],
        ];
    const tiles = isSoftware(adapter)
      ? product({ rows: [1], columns: [2], depth: [16] })
      : product({ rows: [1, 2], columns: [1, 2, 4], depth: [8, 16, 32] });
    for (const [threadsM, threadsN] of threads as [number, number][]) {
      for (const tile of tiles) variants.push({ kernel: 'tiled', threadsM, threadsN, ...tile });
    }
    if (areHalves({ form, types })) {
      for (const lanes of lanesToTry(adapter)) {
        for (const matrix of matrixShapes(adapter)) variants.push(...matrixVariants(lanes, matrix));
      }
    }
    return variants;
  },

  needs({ M }, variant) {
    const { columns } = variant;
    if (variant.kernel === 'rows') {
      const { lanes, teams, unroll } = variant;
      const sums = Math.min(FEW_ROWS, bucket(M)) * columns;
      const parts = lanes > 0 ? 1 : TEAM;
      const needs = { threads: teams * (lanes || TEAM), workgroupBytes: BYTES.f32 * teams * sums * parts };
      return { ...needs, ...(lanes > 0 && { lanes }), sums, unrolled: sums * unroll * 8 };
    }
    if (variant.kernel === 'subgroup') {
      const { lanes, groups, unroll } = variant;
      const sums = groups * lanes * columns;
      return { threads: lanes, workgroupBytes: 0, lanes, sums, unrolled: sums * unroll };
    }
    if (variant.kernel === 'matrix') return matrixNeeds(variant);
    const { rows, depth, threadsM, threadsN } = variant;
    const sums = 16 * rows * columns;
    const staged = 4 * BYTES.f32 * depth * (threadsM * rows + threadsN * columns);
    return { threads: threadsM * threadsN, workgroupBytes: staged, sums, unrolled: sums };
  },

  refusal(adapter, { form, types }, variant) {
    if (variant.kernel === 'rows' && form !== 'NT') return 'a kernel of the form NT alone';
    if (variant.kernel !== 'matrix') return undefined;
    const { matrix, depth, rows, columns } = variant;
    const whole = [rows, columns, depth / matrix[2]].every(n => n >= 1 && Number.isInteger(n));
    if (!whole) return `a tile that is not whole matrices of ${matrix.join(' x ')}`;
    if (!areHalves({ form, types })) return 'subgroup matrices, which would round f32 to f16';
    return unusableMatrix(adapter, types.b, matrix);
  },

  estimate({ M, N, K }, variant) {
    if (variant.kernel === 'subgroup') return undefined;
    if (variant.kernel === 'rows') return M * N * K;
    const { height, width, rows, columns } = tileOf(variant);
    const [down, across] = [Math.ceil(M / height), Math.ceil(N / width)];
    // elements read from workgroup memory for each multiply-add, of four bytes or, beside faster units, of two
    const reads = 1 / rows + 1 / columns;
    const perProduct = variant.kernel === 'tiled' ? Math.max(1, 4 * reads) : Math.max(1 / MATRIX_SPEED, 2 * reads);
    const idle = Math.max(1, ENOUGH_WORKGROUPS / (down * across));
    return down * height * across * width * K * perProduct * idle;
  },

  /** A weight gradient (`TN`) adds to what is there, as it does in a training step. */
  caseOf: ({ form, M, N, K, types }) =>
    matmulCase({ form, M, N, K, types: types as MatmulTypes, epilogue: form === 'TN' ? 'accumulate' : 'none' }),

  // few rows are a tile of their own, which is summed along K by many threads: so all steps of theirs are met
  small: request => ({
    ...request,
    M: hasFewRows(request) ? request.M : oddSize(request.M, 148),
    N: oddSize(request.N, 132),
    K: oddSize(request.K, hasFewRows(request) ? 2116 : 68),
  }),
};

/** What a workgroup computes, and the tile that is multiplied by what is read once: a thread's or a subgroup's. */
function tileOf(variant: Extract<MatmulVariant, { kernel: 'tiled' | 'matrix' }>) {
  if (variant.kernel === 'matrix') {
    const [rows, columns] = [variant.rows * variant.matrix[0], variant.columns * variant.matrix[1]];
    return { height: variant.subgroupsM * rows, width: variant.subgroupsN * columns, rows, columns };
  }
  const [rows, columns] = [4 * variant.rows, 4 * variant.columns];
  return { height: variant.threadsM * rows, width: variant.threadsN * columns, rows, columns };
}

type MatrixVariant = Extract<MatmulVariant, { kernel: 'matrix' }>;

/**
 * Returns the variants on subgroup matrices. A subgroup's tile of 64 x 64 reads the least from workgroup memory;
 * smaller ones give small products more workgroups.
 */
function matrixVariants(lanes: number, matrix: readonly [number, number, number]): MatrixVariant[] {
  const [M, N] = matrix;
  const variants: MatrixVariant[] = [];
  for (const [subgroupsM, subgroupsN] of [
    [1, 1],
    [1, 2],
    [2, 2],
    [2, 4],
    [4, 2],
  ] as const) {
    for (const [height, width] of [
      [32, 32],
      [32, 64],
      [64, 64],
    ] as const) {
      for (const depth of [16, 32, 64]) {
        const tile = { rows: height / M, columns: width / N, depth };
        variants.push({ kernel: 'matrix', lanes, matrix, subgroupsM, subgroupsN, ...tile });
      }
    }
  }
  return variants;
}

function matrixNeeds({ lanes, subgroupsM, subgroupsN, matrix, rows, columns, depth }: MatrixVariant): Needs {
  const [M, N, K] = matrix;
  const PAD = 8;
  const subgroups = subgroupsM * subgroupsN;
  // either side may be stored along K or across it: the longer of the two counts
  const halves = (tile: number) => Math.max(tile * (depth + PAD), depth * (tile + PAD));
  const staged = BYTES.f16 * (halves(subgroupsM * rows * M) + halves(subgroupsN * columns * N));
  return {
    threads: lanes * subgroups,
    workgroupBytes: staged + BYTES.f32 * subgroups * M * N,
    lanes,
    sums: (rows * M * columns * N) / lanes,
    unrolled: (rows * columns * depth) / K,
  };
}
