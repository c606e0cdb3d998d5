/**
 * The variants of kernels that take a tensor by rows or by elements, and which one an adapter takes where nothing was
 * tuned.
 */
import type { AdapterDescription } from '../gpu/adapters.js';
import { bucket } from './bucket.js';
import { linearGrid, type Operand } from './call.js';
import type { ElementType } from './element-type.js';
import { defaultLanes } from './lanes.js';
import type { Constants } from './source.js';

/** A tensor of `rows` rows of `columns` each. */
export interface RowSizes {
  readonly rows: number;
  readonly columns: number;
}

/** A row is shared out among the threads of a workgroup, who add up what each has seen (kernels/lib/reduce.wgsl). */
export interface RowVariant {
  /** Threads that add up by subgroup operations; 0: all through workgroup memory. */
  readonly lanes: number;
  readonly workgroup: number;
  /** Elements that are loaded at a time: 1 or 4. Rows that are not whole vectors are taken element by element. */
  readonly vector: number;
}

/** Threads are independent of each other, and take some elements each. */
export interface ElementVariant {
  readonly workgroup: number;
  /** Vectors that a thread takes. */
  readonly each: number;
  readonly vector: number;
}

export type RowKernel = 'rmsnorm_forward' | 'rmsnorm_backward' | 'cross_entropy';

/**
 * What decides which variant is best. `type`: of what is written or, in RMSNorm's gradient, of what comes from above.
 */
export interface RowRequest extends RowSizes {
  readonly kernel: RowKernel;
  readonly type: ElementType;
}

export interface ElementRequest {
  readonly kernel: 'adamw';
  readonly count: number;
  /** The type of the copy that is kept beside the f32 parameter; f32 where there is none. */
  readonly type: ElementType;
  /** What the gradient is stored in. */
  readonly gradient: ElementType;
}

export const rowKey = ({ kernel, columns, type }: RowRequest): string => `${kernel} ${type} C${bucket(columns)}`;
export const elementKey = ({ kernel, count, type, gradient }: ElementRequest): string =>
  `${kernel} ${type}${gradient === 'f32' ? '' : ` of ${gradient}`} N${bucket(count)}`;

/**
 * The shipped choice: one subgroup on a software adapter, so that nothing waits at a barrier; a GPU wants more threads,
 * and loads of 16 bytes: halves that are loaded one by one leave half of the memory's bandwidth unasked for.
 */
export function defaultRows(adapter: AdapterDescription): RowVariant {
  const lanes = defaultLanes(adapter);
  if (adapter.kind !== 'hardware' && lanes >= 4) return { lanes, workgroup: lanes, vector: 1 };
  return { lanes: 0, workgroup: 128, vector: 4 };
}

/**
 * The shipped choice. On a software adapter starting a workgroup costs microseconds, and one of several subgroups twice
 * as much time in all.
 */
export const defaultElements = (adapter: AdapterDescription): ElementVariant => ({
  workgroup: defaultRows(adapter).workgroup,
  each: adapter.kind === 'hardware' ? 1 : 16,
  vector: adapter.kind === 'hardware' ? 4 : 1,
});

/**
 * The constants of kernels/lib/each_row.wgsl, whose workgroups take some rows each, and the grid of workgroups that
 * take `rows` of them.
 */
export function eachRow({ kind }: AdapterDescription, rows: number) {
  const ROWS = kind === 'hardware' ? 1 : 8;
  return { each: { ROWS, ONE_ROW: ROWS === 1 }, workgroups: linearGrid(Math.ceil(rows / ROWS)) };
}

/** The constants of kernels/lib/reduce.wgsl. */
export const reduceConstants = ({ lanes, workgroup }: RowVariant): Constants => ({
  WORKGROUP: workgroup,
  LANES: lanes,
  SINGLE_SUBGROUP: lanes === workgroup,
  SUBGROUPS: lanes > 0 && lanes < workgroup,
});

/** Those of a kernel that is not tuned. */
export const defaultReduceConstants = (adapter: AdapterDescription): Constants => reduceConstants(defaultRows(adapter));

/** How many elements a load takes of rows of `columns`: as many as the variant asks for, where that is whole. */
export const vectorOf = (vector: number, columns: number): number => (columns % vector === 0 ? vector : 1);

/** The type of `vector` elements. */
export const valueType = (type: ElementType, vector: number): string => (vector === 1 ? type : `vec${vector}<${type}>`);

/** The types of `vector` elements in f32, and of their bits. */
export const valueConstants = (vector: number): Constants => ({
  VALUE: valueType('f32', vector),
  BITS: valueType('u32', vector),
});

/** The constants of kernels/lib/gradient.wgsl, beside those of its elements. */
export const gradientConstants = ({ type }: Operand): Constants => ({ GRADIENT_HALF: type === 'f16' });

/** The constants of kernels/lib/vector.wgsl. */
export const vectorConstants = (vector: number): Constants => ({
  VECTOR: vector,
  IS_VECTOR: vector > 1,
  ...valueConstants(vector),
});
