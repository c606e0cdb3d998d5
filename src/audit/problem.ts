/** The problems that are posed to the kernels of an adapter: cases, and the variants that are to run each. */
import type { Case, Problem, Variant } from '../cases/case.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { defaultLanes } from '../kernels/lanes.js';
import { VariantTable } from '../kernels/variants.js';
import type { StoredType } from '../numerics/inputs.js';
import { elementVariants, tunedRowVariants } from './variants.js';

/** The adapter, and how much of what it can run is wanted. */
export interface Scope {
  readonly adapter: AdapterDescription;
  /** Whether to pose fewer shapes and input classes. */
  readonly quick: boolean;
}

export type Subject = (scope: Scope) => Iterable<Problem>;

/** A case, with the `terms` of a Problem. */
export type Posed = Case & Pick<Problem, 'terms'>;
/** Returns a subject whose cases are all run in the same variants. */
export const inVariants = (
  variantsOf: (scope: Scope) => readonly Variant[],
  cases: (scope: Scope) => Iterable<Posed>,
): Subject =>
  function* (scope) {
    const variants = variantsOf(scope);
    for (const one of cases(scope)) yield { ...one, variants };
  };

export const hasHalves = ({ features }: AdapterDescription): boolean => features.includes('shader-f16');
export const storedTypes = (scope: Scope): readonly StoredType[] =>
  hasHalves(scope.adapter) ? ['f32', 'f16'] : ['f32'];

/**
 * Returns the variants of kernels that differ by how a row is shared out: as one subgroup, and through workgroup memory
 * with barriers.
 */
export function rowVariants({ adapter }: Pick<Scope, 'adapter'>): Variant[] {
  const variants = [{ name: 'workgroup memory', table: new VariantTable({ ...adapter, subgroupSizes: [] }) }];
  if (defaultLanes(adapter) >= 4) {
    variants.unshift({ name: 'one subgroup', table: new VariantTable({ ...adapter, kind: 'system software' }) });
  }
  return variants;
}

/** Returns the variants of kernels whose rows are tuned. */
export const tunedRows = ({ adapter }: Scope): Variant[] =>
  [...tunedRowVariants(adapter)].map(([name, rows]) => ({ name, table: new VariantTable(adapter, {}, { rows }) }));

/** Returns the variants of an elementwise kernel that is tuned. */
export const tunedElements = ({ adapter }: Scope): Variant[] =>
  [...elementVariants(adapter)].map(([name, elements]) => ({
    name,
    table: new VariantTable(adapter, {}, { elements }),
  }));

/** Returns the variants of kernels without sums that are not tuned: the adapter's, and a GPU's vectors. */
export const byElementsAndVectors = (scope: Scope): Variant[] => [
  ...onlyVariant(scope),
  ...(scope.adapter.kind === 'hardware'
    ? []
    : [{ name: 'by 4', table: new VariantTable({ ...scope.adapter, kind: 'hardware' }) }]),
];

/** Returns the one variant of kernels that have no choice. */
export const onlyVariant = ({ adapter }: Scope): Variant[] => [{ name: 'default', table: new VariantTable(adapter) }];
