/** Every variant of the kernels that an adapter can run: its own choice, and the others. */
import type { MatmulTypes } from '../cases/matmul.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import {
  type AttentionKernel,
  defaultAttention,
  isTiled,
  type MatrixAttention,
  type RegisterAttention,
  type TiledAttention,
} from '../kernels/attention-variant.js';
import { defaultLanes, lanesToTry } from '../kernels/lanes.js';
import {
  areHalves,
  defaultMatmul,
  type MatmulForm,
  type MatmulVariant,
  type MatrixShape,
  matrixShapes,
  unusableMatrix,
} from '../kernels/matmul-variant.js';
import { defaultElements, defaultRows, type ElementVariant, type RowVariant } from '../kernels/row-variant.js';

/** Returns the variants by name, without those that the adapter cannot run, or not with this form and these types. */
export function matmulVariants(
  adapter: AdapterDescription,
  { form, types }: { readonly form: MatmulForm; readonly types: MatmulTypes },
): ReadonlyMap<string, MatmulVariant> {
  // of more rows than those that have a kernel of their own
  const chosen = defaultMatmul(adapter, { form, M: 64, N: 64, K: 64, types });
  const all: (readonly [string, MatmulVariant])[] = [
    [`${chosen.kernel}, chosen`, chosen],
    ['tiled 4 x 4', { kernel: 'tiled', threadsM: 16, threadsN: 16, rows: 1, columns: 1, depth: 16 }],
    ['tiled 8 x 8', { kernel: 'tiled', threadsM: 4, threadsN: 8, rows: 2, columns: 2, depth: 8 }],
  ];
  for (const [matrix, name] of usableMatrices(adapter)) {
    if (!areHalves({ form, types })) continue;
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

/**
 * Returns the variants of the kernel of a few rows by name: as a GPU runs it, in teams of a subgroup and of threads.
 */
export function fewRowsVariants(adapter: AdapterDescription): ReadonlyMap<string, MatmulVariant> {
  const lanes = defaultLanes(adapter);
  const variants = new Map<string, MatmulVariant>();
  if (lanes > 0) variants.set('rows, subgroups', { kernel: 'rows', lanes, teams: 2, columns: 4, unroll: 2 });
  return variants.set('rows, workgroup memory', { kernel: 'rows', lanes: 0, teams: 3, columns: 2, unroll: 1 });
}

/** Returns the shapes of subgroup matrices that the adapter runs, each after the first with a name. */
function usableMatrices(adapter: AdapterDescription): (readonly [MatrixShape, name: string])[] {
  const shapes = matrixShapes(adapter).filter(matrix => !unusableMatrix(adapter, 'f16', matrix));
  return shapes.map((matrix, i) => [matrix, i === 0 ? '' : ` of ${matrix.join(' x ')}`]);
}

/** The widest heads of which threads own two rows: larger ones take drivers long to compile. */
const WIDEST_PAIR = 32;
/** The widest heads in tiles of a software adapter, by its lanes: SwiftShader takes half a minute to compile them. */
const widestTile = (adapter: AdapterDescription): number => (defaultLanes(adapter) === 4 ? 0 : 128);

/** Returns the variants by name: rows in registers, one a thread and for narrow heads two, and tiles in registers. */
export function attentionVariants(
  adapter: AdapterDescription,
  kernel: AttentionKernel,
  D: number,
): ReadonlyMap<string, RegisterAttention | TiledAttention> {
  const variants = new Map<string, RegisterAttention | TiledAttention>();
  const request = { kernel, sizes: { B: 1, T: 1, H: 1, KV: 1, D } };
  const chosen = defaultAttention(adapter, request);
  if (!isTiled(chosen)) {
    variants.set(`subgroup, own ${chosen.own}`, chosen);
    const own = 3 - chosen.own;
    if (D <= WIDEST_PAIR) variants.set(`subgroup, own ${own}`, { ...chosen, own });
  }
  if (isTiled(chosen) || D <= widestTile(adapter)) {
    variants.set('tiles', defaultAttention({ ...adapter, kind: 'hardware' }, request));
  }
  // other threads, and more than one block and vector each
  if (D <= WIDEST_PAIR) variants.set('tiles 4 x 2', { threadsM: 4, threadsN: 2, blocks: 2, depth: 4 });
  return variants;
}

/** Returns attention on subgroup matrices by name, of each shape that the adapter runs. */
export const matrixAttentions = (adapter: AdapterDescription): ReadonlyMap<string, MatrixAttention> =>
  new Map(
    usableMatrices(adapter).map(([matrix, name]) => [
      `subgroup matrices${name}`,
      { lanes: defaultLanes(adapter), matrix, subgroupsM: 2, blocks: 2, rows: 16 },
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
