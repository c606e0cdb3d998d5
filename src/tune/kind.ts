/** What the tuner has to know of a kind of kernels: its variants, what each needs, how to run it, and what must come out. */
import type { AdapterDescription } from '../gpu/adapters.js';
import type { KernelCall, Operand } from '../kernels/call.js';
import type { ElementType } from '../kernels/element-type.js';
import type { Kind, RequestOf, VariantOf, VariantTable } from '../kernels/variants.js';
import { stored } from '../numerics/inputs.js';
import type { Vector } from '../numerics/reference.js';
import { Random } from '../random.js';

export type Variant = VariantOf[Kind];

export interface TunedKind<K extends Kind> {
  /** What runs where nothing was tuned. */
  shipped(adapter: AdapterDescription, request: RequestOf[K]): VariantOf[K];
  /**
   * Those worth a try on the adapter. They depend on the request's key alone (form, types, head size), not on what else
   * it measures, so that one choice serves a whole bucket of sizes.
   */
  variants(adapter: AdapterDescription, request: RequestOf[K]): VariantOf[K][];
  needs(request: RequestOf[K], variant: VariantOf[K]): Needs;
  /** Why the adapter cannot run a variant whose needs it meets. */
  refusal?(adapter: AdapterDescription, request: RequestOf[K], variant: VariantOf[K]): string | undefined;
  /** In the order of the operands that `calls` takes. */
  tensors(request: RequestOf[K]): TensorSpec[];
  calls(
    request: RequestOf[K],
    variant: VariantOf[K],
    operands: readonly Operand[],
    variants: VariantTable,
  ): KernelCall[];
  /** The request on a small case with edges. */
  small(request: RequestOf[K]): RequestOf[K];
  /** What of a variant the check goes by; nothing unless given. */
  checkedBy?(variant: VariantOf[K]): string;
  /** What a variant must make of a small case. */
  check(small: RequestOf[K], variant: VariantOf[K]): Check;
}

/** What a variant asks of an adapter. */
export interface Needs {
  readonly threads: number;
  readonly workgroupBytes: number;
  /** Where the kernel relies on the size of a subgroup. */
  readonly lanes?: number;
  /** f32 sums that a thread holds all along. */
  readonly sums: number;
  /** Multiply-adds written out in the inner loop. */
  readonly unrolled: number;
}

export interface TensorSpec {
  readonly name: string;
  readonly elements: number;
  readonly type: ElementType;
  /** What it must hold for the kernel to do its work, as words; random numbers where this is not given. */
  readonly words?: Uint32Array;
}

/** Inputs in the order of the tensors, and what must come out. */
export interface Check {
  readonly inputs: readonly Vector[];
  /** By the index of the tensor. Where a kernel writes part of a tensor, the rest must be left as it was. */
  readonly outputs: readonly { readonly index: number; readonly expected: Vector; readonly bound: Vector }[];
}

export const isSoftware = ({ kind }: AdapterDescription): boolean => kind !== 'hardware';

/** Every combination of the values of each field. */
export function product<Fields extends Record<string, readonly number[]>>(
  fields: Fields,
): { [K in keyof Fields]: number }[] {
  return Object.entries(fields).reduce<Record<string, number>[]>(
    (made, [name, values]) => made.flatMap(one => values.map(value => ({ ...one, [name]: value }))),
    [{}],
  ) as { [K in keyof Fields]: number }[];
}

/** Values that f16 holds, so that every type and every variant starts from the same ones. */
export function values(label: string, count: number): Vector {
  const random = new Random(1, 'tuning', label);
  return inHalves(Float64Array.from({ length: count }, () => 4 * random.uniform() - 2));
}

/** As f16 holds them. */
export const inHalves = (exact: Vector): Vector => stored(exact, 'f16');

/**
 * About `size`, an odd multiple of the vector that divides `real`: rows begin where those of the real matrix may begin,
 * so that the very pipeline is checked that will be timed, and no tile fits.
 */
export function oddSize(real: number, size: number): number {
  const vector = [8, 4, 2].find(width => real % width === 0) ?? 1;
  return vector * (2 * Math.floor(size / (2 * vector)) + 1);
}
