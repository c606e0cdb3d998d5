/** Matrix products: every form and type, each epilogue, along every tile edge, and sums of up to 65,536 terms. */
import type { Problem } from '../../cases/case.js';
import { type MatmulTypes, matmulCase, matmulSwigluCase } from '../../cases/matmul.js';
import { matmulSizes, type ProductSizes, sumLengths } from '../../cases/sizes.js';
import { hasBothSides } from '../../kernels/matmul.js';
import type { MatmulForm } from '../../kernels/matmul-variant.js';
import type { Activation } from '../../kernels/swiglu.js';
import { VariantTable } from '../../kernels/variants.js';
import type { Format, InputClass, StoredType } from '../../numerics/inputs.js';
import { hasHalves, type Scope, storedTypes } from '../problem.js';
import { matmulVariants } from '../variants.js';
import {
  type Cover,
  coverOf,
  epilogueOf,
  FORMS,
  type Make,
  otherEpilogues,
  typesOf,
  variantsOf,
  vectorsOf,
} from './matmul-cover.js';
import { ADVERSARIAL } from './rows.js';

const ADVERSARIAL_SIZES: ProductSizes = { M: 17, N: 65, K: 100 };
const ODD_SIZES: ProductSizes = { M: 17, N: 65, K: 101 };
const QUICK_TERMS = 4096;
const lengthened = (K: number): ProductSizes => ({ M: 17, N: 9, K });

export const matmulProblems = (scope: Scope): Iterable<Problem> =>
  scope.quick ? quickProblems(scope) : allProblems(scope);

function makeOf(types: MatmulTypes, form: MatmulForm, sizes: ProductSizes): Make {
  return { form, ...sizes, types, epilogue: epilogueOf(form, types) };
}

const problem = (cover: Cover, make: Make, inputClass: InputClass, terms?: number): Problem => ({
  ...matmulCase({ ...make, inputClass }),
  terms,
  variants: cover(make),
});

function* allProblems(scope: Scope): Generator<Problem> {
  const types = typesOf(scope);
  const everyForm = (of: readonly MatmulTypes[], sizes: readonly ProductSizes[]) =>
    of.flatMap(types => FORMS.flatMap(form => sizes.map(own => makeOf(types, form, own))));
  const makes = everyForm(types, matmulSizes);
  // the sums of other types are made by the same lines
  const summed = types.filter(({ a, b, c }) => a === b && c === 'f32');
  const lengths = everyForm(summed, sumLengths.map(lengthened));
  const alike = types.filter(({ a, b, c }) => a === c && a === b);
  const otherwise = everyForm(alike, [ADVERSARIAL_SIZES]).flatMap(make =>
    otherEpilogues(make.epilogue).map(epilogue => ({ ...make, epilogue })),
  );
  const cover = coverOf(
    scope.adapter,
    [...makes, ...otherwise],
    lengths.filter(({ form }) => form === 'TN'),
  );
  for (const make of makes) yield problem(cover, make, 'uniform');
  for (const make of adversarial(cover, makes)) {
    for (const inputClass of ADVERSARIAL) yield problem(cover, make, inputClass);
  }
  for (const make of lengths) yield problem(cover, make, 'uniform', make.K);
  for (const make of otherwise) yield problem(cover, make, 'uniform');
}

/** One size for each form and type, and one more for each pipeline of the other variants: its largest. */
function adversarial(cover: Cover, makes: readonly Make[]): Make[] {
  const found = new Map<string, Make>();
  const keyOf = (make: Make) => JSON.stringify([make.types, make.form, vectorsOf(make)]);
  for (const make of makes) {
    const usual = { ...make, ...ADVERSARIAL_SIZES };
    found.set(keyOf(usual), usual);
    if (cover(make).length > 1 && keyOf(make) !== keyOf(usual)) found.set(keyOf(make), make);
  }
  return [...found.values()];
}

/**
 * What `quick` poses: by form a multiple of eight in every stored row, or in none, and by form and type one epilogue
 * and the variants that run beside the first, which is the adapter's own choice. So a pipeline is made for a variant, a
 * form and a type; tiles meet two forms, one in each type.
 */
interface Quick {
  readonly sizes: readonly ProductSizes[];
  readonly adversarial: ProductSizes;
  readonly others: Readonly<Record<StoredType, readonly string[]>>;
}
const ODD = [
  { M: 1, N: 129, K: 3 },
  { M: 17, N: 65, K: 15 },
];
const QUICK: Readonly<Record<MatmulForm, Quick>> = {
  NN: {
    sizes: [
      { M: 1, N: 136, K: 8 },
      { M: 17, N: 72, K: 16 },
      { M: 65, N: 128, K: 136 },
    ],
    adversarial: { M: 17, N: 72, K: 104 },
    others: { f32: [], f16: ['tiled 8 x 8', 'matrix 1 x 2'] },
  },
  NT: {
    sizes: [...ODD, { M: 65, N: 127, K: 129 }],
    adversarial: ODD_SIZES,
    others: { f32: ['tiled 8 x 8'], f16: ['tiled 4 x 4'] },
  },
  TN: {
    sizes: [...ODD, { M: 65, N: 127, K: 129 }],
    adversarial: ODD_SIZES,
    others: { f32: ['tiled 4 x 4'], f16: ['matrix 2 x 1'] },
  },
};

function* quickProblems(scope: Scope): Generator<Problem> {
  const cover: Cover = ({ types, form }) =>
    variantsOf(scope.adapter, { form, types }, name => QUICK[form].others[types.a].includes(name));
  for (const types of typesOf(scope).slice(0, hasHalves(scope.adapter) ? 2 : 1)) {
    for (const form of FORMS) {
      const { sizes, adversarial } = QUICK[form];
      for (const size of sizes) yield problem(cover, makeOf(types, form, size), 'uniform');
      for (const inputClass of ADVERSARIAL) yield problem(cover, makeOf(types, form, adversarial), inputClass);
    }
  }
  for (const K of sumLengths.filter(K => K <= QUICK_TERMS)) {
    yield problem(cover, makeOf(typesOf(scope)[0]!, 'TN', lengthened(K)), 'uniform', K);
  }
  // weights of bf16, as a model that is only used has them: rows of whole words, and others
  const chosen: Cover = make => variantsOf(scope.adapter, make, () => false);
  const types = typesOf(scope).find(({ b }) => b === 'bf16')!;
  const bfloats = { types, form: 'NT', epilogue: 'none' } as const;
  yield problem(chosen, { ...bfloats, M: 1, N: 65, K: 18 }, 'uniform');
  yield problem(chosen, { ...bfloats, M: 3, N: 65, K: 15 }, 'wide');
}

/** The product that a gated MLP starts with, with its SwiGLU in one pass. */
export function* matmulSwigluProblems(scope: Scope): Generator<Problem> {
  const { adapter, quick } = scope;
  // stored rows have K elements or N: `quick` keeps to those that are no vectors, so that each variant is compiled once
  const sizes = matmulSizes.filter(({ N, K }, i) => !quick || (K % 2 === 1 && i % 2 === 1 && N % 4 > 0));
  const pose = (
    { M, N: F, K }: ProductSizes,
    type: StoredType,
    weightType: Format,
    inputClass?: InputClass,
    activation?: Activation,
  ): Problem => {
    const all = [...matmulVariants(adapter, { form: 'NT', types: { a: type, b: weightType, c: type } })];
    const variants = all.flatMap(([name, matmul]) =>
      hasBothSides(matmul) ? [{ name, table: new VariantTable(adapter, {}, { matmul }) }] : [],
    );
    return { ...matmulSwigluCase({ M, F, K, type, weightType, activation, inputClass }), variants };
  };
  for (const type of storedTypes(scope)) {
    for (const own of sizes) yield pose(own, type, type);
    for (const inputClass of ADVERSARIAL) yield pose(ODD_SIZES, type, type, inputClass);
    yield pose(ODD_SIZES, type, type, 'uniform', 'gelu_pytorch_tanh');
  }
  if (quick) return; // the same lines as of products alone load weights of bf16
  for (const own of sizes) yield pose(own, 'f32', 'bf16');
}
