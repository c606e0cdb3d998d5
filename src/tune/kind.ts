/** What the tuner has to know of a kind of kernels: its variants, what each needs, and the case of a request. */
import { z } from 'zod';
import type { Case } from '../cases/case.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { ELEMENT_TYPES } from '../kernels/element-type.js';
import type { Kind, RequestOf, VariantOf } from '../kernels/variants.js';

export type Variant = VariantOf[Kind];

export interface TunedKind<K extends Kind> {
  /**
   * Returns the variants that are worth a try on the adapter. They depend on the request's key alone (form, types, head
   * size), not on what else it measures, so that one choice serves a whole bucket of sizes.
   */
  variants(adapter: AdapterDescription, request: RequestOf[K]): VariantOf[K][];
  needs(request: RequestOf[K], variant: VariantOf[K]): Needs;
  /**
   * Returns a lower bound of a variant's time on a GPU, in any unit, by which variants are tried in turn. Undefined for
   * those that it says nothing about, which come last. Nothing is said of software adapters.
   */
  estimate?(request: RequestOf[K], variant: VariantOf[K]): number | undefined;
  /** Says why the adapter cannot run a variant whose needs it meets. */
  refusal?(adapter: AdapterDescription, request: RequestOf[K], variant: VariantOf[K]): string | undefined;
  /** Returns the case that a request asks for, by which a variant is judged. */
  caseOf(request: RequestOf[K], variant: VariantOf[K]): Case;
  /** Returns what part of a variant the case depends on; without this function it depends on nothing of it. */
  checkedBy?(variant: VariantOf[K]): string;
  /** The schemas of a request and of a variant, as they are kept in files. */
  readonly requestSchema: z.ZodType<RequestOf[K]>;
  readonly variantSchema: z.ZodType<VariantOf[K]>;
  /** Returns the request on a small case with edges. */
  small(request: RequestOf[K]): RequestOf[K];
}

/** What a variant asks of an adapter. */
export interface Needs {
  readonly threads: number;
  readonly workgroupBytes: number;
  /** The size of a subgroup, where the kernel relies on it. */
  readonly lanes?: number;
  /** The f32 sums that a thread holds all along. */
  readonly sums: number;
  /** The multiply-adds that are written out in the inner loop. */
  readonly unrolled: number;
}

/** The schemas of what files hold: sizes and numbers of threads and, below, types. */
export const countSchema = z.int().positive();
export const typeSchema = z.enum(ELEMENT_TYPES);
/** Elements of a load. */
export const vectorSchema = countSchema.refine((n): boolean => n === 1 || n === 4, 'must be 1 or 4');
export const matrixSchema = z.tuple([countSchema, countSchema, countSchema]).readonly();

/** How many times as fast a GPU's matrices multiply as its threads do, at least. */
export const MATRIX_SPEED = 4;

export const isSoftware = ({ kind }: AdapterDescription): boolean => kind !== 'hardware';

/** Returns every combination of the values of each field. */
export function product<Fields extends Record<string, readonly number[]>>(
  fields: Fields,
): { [K in keyof Fields]: number }[] {
  return Object.entries(fields).reduce<Record<string, number>[]>(
    (made, [name, values]) => made.flatMap(one => values.map(value => ({ ...one, [name]: value }))),
    [{}],
  ) as { [K in keyof Fields]: number }[];
}

/**
 * Returns about `size`: an odd multiple of the vector that divides `real`. Rows then begin where those of the real
 * matrix may begin, so that the very pipeline is checked that will be timed, and no tile fits.
 */
export function oddSize(real: number, size: number): number {
  const vector = [8, 4, 2].find(width => real % width === 0) ?? 1;
  return vector * (2 * Math.floor(size / (2 * vector)) + 1);
}
