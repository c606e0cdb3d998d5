/** Matrix products: which variant runs, with which tile. */
import type { AdapterDescription } from '../gpu/adapters.js';
import type { BufferRange } from '../gpu/buffer.js';
import { checkIndexable, grid, type KernelCall, kernelCall } from './call.js';

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

export interface MatmulBuffers {
  readonly a: BufferRange;
  readonly b: BufferRange;
  readonly c: BufferRange;
  /** Added to the product: another tensor, or 'c' for what C holds already. */
  readonly addend?: BufferRange | 'c' | undefined;
}

/** A matmul kernel with its tile. */
export type MatmulVariant =
  | {
      readonly kernel: 'subgroup';
      readonly lanes: number;
      readonly groups: number;
      readonly columns: number;
      readonly unroll: number;
    }
  | { readonly kernel: 'tiled'; readonly threads: number; readonly rows: number; readonly columns: number };

/**
 * The variant for an adapter. Measured on SwiftShader (4 lanes) and on Mesa 26 llvmpipe (8 and 16 lanes): barriers and
 * single-lane loads are what a CPU is slow at, so a subgroup shares its loads by broadcast, in a tile that the
 * registers just hold. Other adapters take the workgroup-memory kernel.
 */
export function matmulVariant(adapter: AdapterDescription): MatmulVariant {
  const lanes = adapter.subgroupSize;
  if (adapter.kind !== 'hardware' && [4, 8, 16].includes(lanes)) {
    return { kernel: 'subgroup', lanes, groups: Math.max(1, (lanes === 4 ? 8 : 16) / lanes), columns: 4, unroll: 4 };
  }
  return { kernel: 'tiled', threads: 16, rows: 4, columns: 4 };
}

export function matmul(variant: MatmulVariant, sizes: MatmulSizes, buffers: MatmulBuffers): KernelCall {
  const { form, M, N, K } = sizes;
  const { a, b, c, addend } = buffers;
  const label = `matmul_${variant.kernel} ${form}`;
  for (const elements of [M * K, K * N, M * N]) checkIndexable(label, elements);
  const epilogue = {
    TRANSPOSE_A: form === 'TN',
    TRANSPOSE_B: form === 'NT',
    ADDEND: addend !== undefined && addend !== 'c',
    ACCUMULATE: addend === 'c',
  };
  const bound = addend === undefined || addend === 'c' ? [a, b, c] : [a, b, addend, c];
  const { columns: COLUMNS } = variant;
  if (variant.kernel === 'subgroup') {
    const { lanes: LANES, groups: GROUPS, unroll: UNROLL } = variant;
    const holes = { ...epilogue, LANES, GROUPS, COLUMNS, UNROLL };
    const workgroups = grid(label, Math.ceil(N / (LANES * COLUMNS)), Math.ceil(M / (LANES * GROUPS)));
    return kernelCall('matmul_subgroup', holes, bound, [M, N, K], workgroups, label);
  }
  const { threads: THREADS, rows: ROWS } = variant;
  const holes = { ...epilogue, THREADS, ROWS, COLUMNS };
  const workgroups = grid(label, Math.ceil(N / (THREADS * COLUMNS)), Math.ceil(M / (THREADS * ROWS)));
  return kernelCall('matmul_tiled', holes, bound, [M, N, K], workgroups, label);
}
