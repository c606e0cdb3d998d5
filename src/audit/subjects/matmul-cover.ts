/**
 * Which variants of the matrix product are posed which problems. A pipeline is made for a tile, a form, the types, an
 * epilogue, and how the stored rows divide into vectors: for every variant all of them would take minutes to compile. What
 * the adapter runs by default takes all; of every other variant each pair of these factors is met.
 */
import type { AdapterDescription } from '../../gpu/adapters.js';
import type { MatmulForm, MatmulVariant } from '../../kernels/matmul-variant.js';
import type { Format, StoredType } from '../../numerics/inputs.js';
import { pairwise } from '../pairwise.js';
import { MATMUL_TYPES, type MatmulTypes, matmulVariants } from '../variants.js';

export const FORMS: readonly MatmulForm[] = ['NN', 'NT', 'TN'];
const EPILOGUES = ['none', 'addend', 'accumulate'] as const;
export type Epilogue = (typeof EPILOGUES)[number];
export type Types = Readonly<Record<'a' | 'c', StoredType> & Record<'b', Format>>;
export type Size = Readonly<Record<'M' | 'N' | 'K', number>>;

/** All that a pipeline is made for, but the variant. */
export interface Make {
  readonly types: Types;
  readonly form: MatmulForm;
  readonly epilogue: Epilogue;
  readonly size: Size;
}

/** The variants of a problem; the adapter's own choice is the first. */
export type Cover = (make: Make) => ReadonlyMap<string, MatmulVariant>;

/** Each form has another for each type, and meets every one. */
export function epilogueOf(form: MatmulForm, types: Types): Epilogue {
  const type = MATMUL_TYPES.findIndex(({ a, b, c }) => a === types.a && b === types.b && c === types.c);
  return EPILOGUES[(FORMS.indexOf(form) + type) % EPILOGUES.length]!;
}

export const otherEpilogues = (epilogue: Epilogue): Epilogue[] => EPILOGUES.filter(other => other !== epilogue);

/** The widest vectors that stored rows of A and B divide into. */
export function vectorsOf({ form, size: { M, N, K } }: Pick<Make, 'form' | 'size'>): readonly [a: number, b: number] {
  const widest = (row: number) => [8, 4].find(width => row % width === 0) ?? 1;
  return [widest(form === 'TN' ? M : K), widest(form === 'NT' ? K : N)];
}

interface Combination extends Make {
  readonly name: string;
}

const factorsOf = (make: Combination): readonly (string | number)[] => {
  const { a, b, c } = make.types;
  return [make.name, make.form, a, b, c, make.epilogue, ...vectorsOf(make)];
};
const keyOf = (combination: Combination): string => factorsOf(combination).join(' ');

/** Of the variants that are not the adapter's choice: pairs of all that `makes` has, and all that `every` has. */
export function coverOf(adapter: AdapterDescription, makes: readonly Make[], every: readonly Make[]): Cover {
  const combinations = (list: readonly Make[]): Combination[] =>
    list.flatMap(make =>
      [...matmulVariants(adapter, make.types as MatmulTypes)].slice(1).map(([name]) => ({ ...make, name })),
    );
  const [all, first] = [combinations(makes), combinations(every)];
  const covered = new Set<string>();
  for (const variant of new Set(all.map(({ name }) => name))) {
    const own = (list: readonly Combination[]) => list.filter(({ name }) => name === variant);
    for (const combination of pairwise(own(all), factorsOf, own(first))) covered.add(keyOf(combination));
  }
  return make => {
    const variants = [...matmulVariants(adapter, make.types as MatmulTypes)];
    return new Map(variants.filter(([name], i) => i === 0 || covered.has(keyOf({ ...make, name }))));
  };
}
