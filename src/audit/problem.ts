/** What a kernel is judged on: its operands, what float64 makes of them, how far off it may be, and its variants. */
import type { AdapterDescription } from '../gpu/adapters.js';
import type { KernelCall, Operand } from '../kernels/call.js';
import type { ElementType } from '../kernels/element-type.js';
import { type ElementRequest, elementKey, type RowRequest, rowKey } from '../kernels/row-variant.js';
import { VariantTable } from '../kernels/variants.js';
import { columnSumBound } from '../numerics/bounds.js';
import type { Format, StoredType } from '../numerics/inputs.js';
import type { Vector } from '../numerics/reference.js';
import { elementVariants, tunedRowVariants } from './variants.js';

export interface Input {
  readonly type: ElementType;
  readonly values: Vector;
}

export interface Output {
  readonly type: StoredType;
  readonly count: number;
  /** What it holds before, where the kernel reads it; other outputs are poisoned. */
  readonly initial?: Vector | undefined;
  /** Whether the kernel writes an element; by default it writes all. The others must be left alone. */
  readonly isWritten?: ((index: number) => boolean) | undefined;
}

/** An output's exact values and the largest error of each. */
export interface Expected {
  readonly reference: Vector;
  readonly bound: Vector;
}

/** Values by the name of an input, or of an output that has initial values. */
export type Given = Readonly<Record<string, Vector>>;

export interface Variant {
  readonly name: string;
  calls(bind: (name: string) => Operand): KernelCall[];
}

export interface Problem {
  /** As on the command line: a kernel file's name, or the part that its variants share. */
  readonly kernel: string;
  /** Sizes and types, for people. */
  readonly shape: string;
  readonly inputClass: string;
  /** Terms of the longest sum, where the shape is one of a series. */
  readonly terms?: number | undefined;
  readonly inputs: Readonly<Record<string, Input>>;
  readonly outputs: Readonly<Record<string, Output>>;
  expected(given: Given): Readonly<Record<string, Expected>>;
  readonly variants: readonly Variant[];
  /** Whether the kernel said that something was not finite, where it says so by more than a result that is not. */
  reports?(values: Readonly<Record<string, Float32Array | Vector>>): boolean;
}

/** What the adapter can run, and how much of it is wanted. */
export interface Scope {
  readonly adapter: AdapterDescription;
  /** Fewer shapes and input classes. */
  readonly quick: boolean;
}

export type Subject = (scope: Scope) => Iterable<Problem>;

/** The values that a problem is posed with. */
export function givenOf({ inputs, outputs }: Pick<Problem, 'inputs' | 'outputs'>): Given {
  const initial = Object.entries(outputs).flatMap(([name, output]) =>
    output.initial ? [[name, output.initial] as const] : [],
  );
  return Object.fromEntries([...Object.entries(inputs).map(([name, { values }]) => [name, values]), ...initial]);
}

/** What an output that held `total` has after sums were added that are each off by `bound` at most. */
export function addedTo(total: Vector, sums: Vector, bound: Vector): Expected {
  const reference = sums.map((value, i) => value + total[i]!);
  const magnitudes = reference.map((value, i) => Math.abs(value) + Math.abs(total[i]!));
  const rounding = columnSumBound(magnitudes, 1);
  return { reference, bound: bound.map((value, i) => value + rounding[i]!) };
}

export const floats = (values: Vector, type: Format = 'f32'): Input => ({ type, values });
export const words = (values: ArrayLike<number>): Input => ({ type: 'u32', values: Float64Array.from(values) });

export const hasHalves = ({ features }: AdapterDescription): boolean => features.includes('shader-f16');
export const storedTypes = (scope: Scope): readonly StoredType[] =>
  hasHalves(scope.adapter) ? ['f32', 'f16'] : ['f32'];

/**
 * Tables that share a row out among threads in each way that the adapter can: as one subgroup, and through workgroup
 * memory with barriers.
 */
export function rowTables(adapter: AdapterDescription): { readonly name: string; readonly table: VariantTable }[] {
  const tables = [{ name: 'workgroup memory', table: new VariantTable({ ...adapter, subgroupSize: 0 }) }];
  if (adapter.subgroupSize >= 4) {
    tables.unshift({ name: 'one subgroup', table: new VariantTable({ ...adapter, kind: 'system software' }) });
  }
  return tables;
}

type TableCalls = (table: VariantTable, bind: (name: string) => Operand) => KernelCall[];

/** The variants of a kernel that differ by how a row is shared out. */
export const rowVariants = ({ adapter }: Scope, calls: TableCalls): Variant[] =>
  rowTables(adapter).map(({ name, table }) => ({ name, calls: bind => calls(table, bind) }));

/** The variants of a kernel whose rows are tuned. */
export const tunedRows = ({ adapter }: Scope, request: RowRequest, calls: TableCalls): Variant[] =>
  [...tunedRowVariants(adapter)].map(([name, variant]) => {
    const table = new VariantTable(adapter, { rows: { [rowKey(request)]: variant } });
    return { name, calls: bind => calls(table, bind) };
  });

/** The variants of an elementwise kernel that is tuned. */
export const tunedElements = ({ adapter }: Scope, request: ElementRequest, calls: TableCalls): Variant[] =>
  [...elementVariants(adapter)].map(([name, variant]) => {
    const table = new VariantTable(adapter, { elements: { [elementKey(request)]: variant } });
    return { name, calls: bind => calls(table, bind) };
  });

/** The one variant of a kernel that has no choice. */
export const onlyVariant = ({ adapter }: Scope, calls: TableCalls): Variant[] => [
  { name: 'default', calls: bind => calls(new VariantTable(adapter), bind) },
];
