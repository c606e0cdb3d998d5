/** Every variant of the kernels that an adapter can run: its own choice, and the others. */
import type { MatmulTypes } from '../cases/matmul.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import {
  type AttentionKernel,
  defaultAttention,
  type MatrixAttention,
  type RegisterAttention,
} from '../kernels/attention-variant.js';
import { defaultLanes, lanesToTry } from '../kernels/lanes.js';
import {
  areHalves,
  defaultMatmul,
  type MatmulVariant,
  type MatrixShape,
  matrixShapes,
  unusableMatrix,
} from '../kernels/matmul-variant.js';
import { defaultElements, defaultRows, type ElementVariant, type RowVariant } from '../kernels/row-variant.js';

/** Returns the variants by name, without those that the adapter cannot run, or not with these types. */
export function matmulVariants(adapter: AdapterDescription, types: MatmulTypes): ReadonlyMap<string, MatmulVariant> {
  const chosen = defaultMatmul(adapter, { form: 'NN', M: 1, N: 1, K: 1, types });
  const all: (readonly [string, MatmulVariant])[] = [
    [`${chosen.kernel}, chosen`, chosen],
    ['tiled 4 x 4', { kernel: 'tiled', threadsM: 16, threadsN: 16, rows: 1, columns: 1, depth: 16 }],
    ['tiled 8 x 8', { kernel: 'tiled', threadsM: 4, threadsN: 8, rows: 2, columns: 2, depth: 8 }],
  ];
  for (const [matrix, name] of usableMatrices(adapter)) {
    if (!areHalves(types)) continue;
    const lanes = defaultLanes(adapter);
    const wide = { kernel: 'matrix', lanes, matrix, subgroupsM: 1, subgroupsN: 2, rows: 2, columns: 1 } as const;
    const tall = { kernel: 'matrix', lanes, matrix, subgroupsM: 2, subgroupsN: 1, rows: 1, columns: 2 } as const;
    // a step of K and several, neither square: software adapters write every multiply-accumulate out and take long
    all.push([`matrix 2 x 1${name}`, { ...wide, depth: matrix[2] }]);
    all.push([`matrix 1 x 2${name}`, { ...tall, depth: 2 * matrix[2] }]);
  }
  const variants = new Map<string, MatmulVariant>();
  for (const [name, variant] of all) {
    const isNew = ![...variants.values()].some(other => JSON.stringify(other) === JSON.stringify(variant));
    if (isNew) variants.set(name, variant);
  }
  return variants;
}

/** Returns the shapes of subgroup matrices that the adapter runs, each after the first with a name. */
function usableMatrices(adapter: AdapterDescription): (readonly [MatrixShape, name: string])[] {
  const shapes = matrixShapes(adapter).filter(matrix => !unusableMatrix(adapter, 'f16', matrix));
  return shapes.map((matrix, i) => [matrix, i === 0 ? '' : ` of ${matrix.join(' x ')}`]);
}

/**
 * The widest heads: larger ones make tiles in workgroup memory that not every adapter holds, and take drivers long to
 * compile.
 */
const [WIDEST_TILE, WIDEST_PAIR] = [80, 32];

/** Returns the variants by name: threads that own one row and, for narrow heads, two. */
export function attentionVariants(
  adapter: AdapterDescription,
  kernel: AttentionKernel,
  D: number,
): ReadonlyMap<string, RegisterAttention> {
  const variants = new Map<string, RegisterAttention>();
  const chosen = defaultAttention(adapter, kernel);
  if (chosen.subgroups) {
    variants.set(`subgroup, own ${chosen.own}`, chosen);
    const own = 3 - chosen.own;
    if (D <= WIDEST_PAIR) variants.set(`subgroup, own ${own}`, { ...chosen, own });
  }
  if (!chosen.subgroups || D <= WIDEST_TILE) {
    variants.set('workgroup memory, own 1', { subgroups: false, workgroup: 64, own: 1, rows: 8 });
  }
  if (D <= WIDEST_PAIR) {
    variants.set('workgroup memory, own 2', { subgroups: false, workgroup: 32, own: 2, rows: 4 });
  }
  return variants;
}

/** Returns attention on subgroup matrices by name, of each shape that the adapter runs. */
export const matrixAttentions = (adapter: AdapterDescription): ReadonlyMap<string, MatrixAttention> =>
  new Map(
    usableMatrices(adapter).map(([matrix, name]) => [
      `subgroup matrices${name}`,
      { lanes: defaultLanes(adapter), matrix, subgroupsM: 2, rows: 16 },
    ]),
  );

/** Returns the variants by name: each way to add up over a row, with elements one by one and four at a time. */
export function tunedRowVariants(adapter: AdapterDescription): ReadonlyMap<string, RowVariant> {
  const variants = new Map<string, RowVariant>();
  lanesToTry(adapter).forEach((lanes, i) => {
    if (lanes < 4) return;
    const of = i === 0 ? '' : ` of ${lanes} lanes`;
    variants.set(`one subgroup${of}`, { lanes, workgroup: lanes, vector: 1 });
    variants.set(`one subgroup${of}, by 4`, { lanes, workgroup: lanes, vector: 4 });
    variants.set(`four subgroups${of}`, { lanes, workgroup: 4 * lanes, vector: 1 });
  });
  const memory = { ...defaultRows({ ...adapter, subgroupSizes: [] }), lanes: 0 };
  variants.set('workgroup memory', { ...memory, vector: 1 });
  variants.set('workgroup memory, by 4', { ...memory, vector: 4 });
  return variants;
}

/** Returns the variants by name: as shipped, and four elements at a time. */
export function elementVariants(adapter: AdapterDescription): ReadonlyMap<string, ElementVariant> {
  const chosen = defaultElements(adapter);
  return new Map([
    ['chosen', chosen],
    ['by 4', { workgroup: 64, each: 2, vector: 4 }],
  ]);
}
