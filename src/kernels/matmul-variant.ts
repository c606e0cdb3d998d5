/** The variants of the matrix product, and which one an adapter takes where nothing was tuned. */
import type { AdapterDescription } from '../gpu/adapters.js';
import { bucket } from './bucket.js';
import type { ElementType } from './element-type.js';
import { defaultLanes } from './lanes.js';

/**
 * C[M, N] = op(A) op(B). `NT`: A [M, K], B [N, K] (a linear layer forward); `NN`: A [M, K], B [K, N] (its input
 * gradient); `TN`: A [K, M], B [K, N] (its weight gradient).
 */
export type MatmulForm = 'NN' | 'NT' | 'TN';

export interface MatmulSizes {
  readonly form: MatmulForm;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** What decides which variant is best. */
export interface MatmulRequest extends MatmulSizes {
  readonly types: Readonly<Record<'a' | 'b' | 'c', ElementType>>;
}

/** The shape of a subgroup matrix: C [M, N] += A [M, K] B [K, N]. */
export type MatrixShape = readonly [M: number, N: number, K: number];

/** A matmul kernel with its tile; the numbers are those of the kernel file's head. */
export type MatmulVariant =
  | {
      /** Form NT alone. */
      readonly kernel: 'rows';
      /** Lanes of the subgroup that a team is; 0: teams of TEAM threads, through workgroup memory. */
      readonly lanes: number;
      readonly teams: number;
      readonly columns: number;
      readonly unroll: number;
    }
  | {
      readonly kernel: 'subgroup';
      readonly lanes: number;
      readonly groups: number;
      readonly columns: number;
      readonly unroll: number;
    }
  | {
      readonly kernel: 'tiled';
      readonly threadsM: number;
      readonly threadsN: number;
      readonly rows: number;
      readonly columns: number;
      readonly depth: number;
    }
  | {
      readonly kernel: 'matrix';
      readonly lanes: number;
      readonly matrix: MatrixShape;
      readonly subgroupsM: number;
      readonly subgroupsN: number;
      readonly rows: number;
      readonly columns: number;
      readonly depth: number;
    };

/** The most rows of a product that the kernel of a few rows is shipped for. */
export const FEW_ROWS = 8;
/** Threads of a team that adds up through workgroup memory. */
export const TEAM = 32;

export function matmulKey({ form, M, N, K, types: { a, b, c } }: MatmulRequest): string {
  return `${form} ${a} ${b} ${c} M${bucket(M)} N${bucket(N)} K${bucket(K)}`;
}

/**
 * The shipped choice. Measured on SwiftShader (4 lanes) and on Mesa 26 llvmpipe (8 and 16 lanes): barriers and
 * single-lane loads are what a CPU is slow at, so a subgroup shares its loads by broadcast, in a tile of more sums than
 * registers: fetching those is cheaper than more loads, but not on SwiftShader. Other adapters take subgroup matrices
 * for f16 where they have them, else workgroup-memory tiles; a product of a few rows with weights, which is bound by
 * how fast these come, has a kernel of its own there.
 */
export function defaultMatmul(adapter: AdapterDescription, request: MatmulRequest): MatmulVariant {
  const { form, M } = request;
  const lanes = defaultLanes(adapter);
  if (adapter.kind !== 'hardware' && [4, 8, 16].includes(lanes)) {
    return { kernel: 'subgroup', lanes, groups: lanes === 4 ? 2 : 4, columns: 4, unroll: 4 };
  }
  if (form === 'NT' && M <= FEW_ROWS) return { kernel: 'rows', lanes, teams: 2, columns: 4, unroll: M <= 2 ? 2 : 1 };
  const [shape] = matrixShapes(adapter);
  if (shape && areHalves(request)) {
    const [M, N] = shape;
    const tile = { subgroupsM: 2, subgroupsN: 2, rows: 64 / M, columns: 64 / N, depth: 32 };
    return { kernel: 'matrix', lanes, matrix: shape, ...tile };
  }
  return { kernel: 'tiled', threadsM: 16, threadsN: 16, ...tileOf(request), depth: 16 };
}

/** The workgroups that fill half of the largest GPU. */
export const ENOUGH_WORKGROUPS = 64;

/**
 * A thread with 8 x 8 sums reads one byte of workgroup memory for each multiply-add, one with 4 x 4 two: GPUs have
 * bandwidth for one. So the larger tile is up to twice as fast, where there are as many workgroups as fill half a GPU.
 */
function tileOf({ M, N }: MatmulSizes): { rows: number; columns: number } {
  const workgroups = (bucket(M) / 128) * (bucket(N) / 128); // one choice for all sizes of a key
  return workgroups >= ENOUGH_WORKGROUPS ? { rows: 2, columns: 2 } : { rows: 1, columns: 1 };
}

/** The shapes of the adapter's subgroup matrices with f16 operands and f32 results, in the driver's order. */
export function matrixShapes(adapter: AdapterDescription): MatrixShape[] {
  if (adapter.subgroupSizes.length === 0 || !adapter.features.includes('chromium-experimental-subgroup-matrix'))
    return [];
  return adapter.subgroupMatrices
    .filter(({ operand, result }) => operand === 'f16' && result === 'f32')
    .map(({ M, N, K }) => [M, N, K] as const);
}

/**
 * Whether a product is one of a model in f16, whose operands subgroup matrices may round to it. f32 times f16 in f32 is
 * one of a model in f32, whose weights are only stored so, unless it is a gradient of weights: that of a residual
 * stream, which is f32, with activations in f16.
 */
export const areHalves = ({ form, types: { a, b, c } }: Pick<MatmulRequest, 'form' | 'types'>): boolean =>
  b === 'f16' && (a === 'f16' || c === 'f16' || form === 'TN');

/** Why subgroup matrices of a shape cannot be used on operands of a type; undefined where they can. */
export function unusableMatrix(
  adapter: AdapterDescription,
  operand: ElementType,
  matrix: readonly number[],
): string | undefined {
  if (operand !== 'f16') return 'subgroup matrices take f16 alone';
  // Mesa's llvmpipe crashes compiling a multiply-accumulate of matrices with other than 8 lanes
  if (adapter.kind !== 'hardware' && !adapter.subgroupSizes.includes(8))
    return 'subgroup matrices crash software adapters of these lanes';
  if (matrixShapes(adapter).some(shape => shape.every((size, i) => size === matrix[i]))) return undefined;
  return `subgroup matrices of ${matrix.join(' x ')}, which the adapter does not have`;
}
