/**
 * Which variants of the matrix product are posed which cases. A pipeline is made for a tile, a form, the types, an
 * epilogue, and how the stored rows divide into vectors: for every variant all of them would take minutes to compile.
 * What the adapter runs by default takes all; of every other variant each pair of these factors is met.
 */
import type { Variant } from '../../cases/case.js';
import { EPILOGUES, type Epilogue, MATMUL_TYPES, type MatmulCase, type MatmulTypes } from '../../cases/matmul.js';
import type { AdapterDescription } from '../../gpu/adapters.js';
import type { MatmulForm, MatmulSizes } from '../../kernels/matmul-variant.js';
import { VariantTable } from '../../kernels/variants.js';
import { pairwise } from '../pairwise.js';
import { hasHalves, type Scope } from '../problem.js';
import { matmulVariants } from '../variants.js';

export const FORMS: readonly MatmulForm[] = ['NN', 'NT', 'TN'];

/** The types of products that the adapter has. */
export const typesOf = ({ adapter }: Scope): readonly MatmulTypes[] =>
  MATMUL_TYPES.filter(types => hasHalves(adapter) || !Object.values<string>(types).includes('f16'));

/** All that a pipeline is made for, but the variant. */
export type Make = MatmulCase & { readonly epilogue: Epilogue };

/** The variants of a case; the adapter's own choice is the first. */
export type Cover = (make: Make) => readonly Variant[];

/** Each form has another for each type, and meets every one. */
export function epilogueOf(form: MatmulForm, types: MatmulTypes): Epilogue {
  const type = MATMUL_TYPES.findIndex(({ a, b, c }) => a === types.a && b === types.b && c === types.c);
  return EPILOGUES[(FORMS.indexOf(form) + type) % EPILOGUES.length]!;
}

export const otherEpilogues = (epilogue: Epilogue): Epilogue[] => EPILOGUES.filter(other => other !== epilogue);

/** The widest vectors that stored rows of A and B divide into. */
export function vectorsOf({ form, M, N, K }: MatmulSizes): readonly [a: number, b: number] {
  const widest = (row: number) => [8, 4].find(width => row % width === 0) ?? 1;
  return [widest(form === 'TN' ? M : K), widest(form === 'NT' ? K : N)];
}

/** Those of a product's form and types that `isWanted`, the adapter's own choice in any case. */
export function variantsOf(
  adapter: AdapterDescription,
  make: Pick<Make, 'form' | 'types'>,
  isWanted: (name: string) => boolean,
): readonly Variant[] {
  const all = [...matmulVariants(adapter, make)].filter(([name], i) => i === 0 || isWanted(name));
  return all.map(([name, matmul]) => ({ name, table: new VariantTable(adapter, {}, { matmul }) }));
}

type Combination = Make & { readonly name: string };

const factorsOf = (make: Combination): readonly (string | number)[] => {
  const { a, b, c } = make.types;
  return [make.name, make.form, a, b, c, make.epilogue, ...vectorsOf(make)];
};
const keyOf = (combination: Combination): string => factorsOf(combination).join(' ');

/** What the variants that are not the adapter's choice run: pairs of all that `makes` has, and all that `every` has. */
export function coverOf(adapter: AdapterDescription, makes: readonly Make[], every: readonly Make[]): Cover {
  const combinations = (list: readonly Make[]): Combination[] =>
    list.flatMap(make => [...matmulVariants(adapter, make)].slice(1).map(([name]) => ({ ...make, name })));
  const [all, first] = [combinations(makes), combinations(every)];
  const covered = new Set<string>();
  for (const variant of new Set(all.map(({ name }) => name))) {
    const own = (list: readonly Combination[]) => list.filter(({ name }) => name === variant);
    for (const combination of pairwise(own(all), factorsOf, own(first))) covered.add(keyOf(combination));
  }
  return make => variantsOf(adapter, make, name => covered.has(keyOf({ ...make, name })));
}
