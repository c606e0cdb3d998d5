/** Matrix products: every form and type, each epilogue, along every tile edge, and sums of up to 65,536 terms. */
import { matmulCalls } from '../../kernels/matmul.js';
import type { MatmulForm } from '../../kernels/matmul-variant.js';
import { flushedProducts, matmulBound, storedBound } from '../../numerics/bounds.js';
import { matmulCases, sumLengths } from '../../numerics/cases.js';
import { FORMATS, type InputClass, inputValues } from '../../numerics/inputs.js';
import { matmul, type Vector } from '../../numerics/reference.js';
import { hasHalves, type Problem, type Scope } from '../problem.js';
import { MATMUL_TYPES, type MatmulTypes, matmulVariants } from '../variants.js';
import {
  type Cover,
  coverOf,
  epilogueOf,
  FORMS,
  type Make,
  otherEpilogues,
  type Size,
  type Types,
  vectorsOf,
} from './matmul-cover.js';

const sizes = (...all: (readonly [M: number, N: number, K: number])[]): Size[] => all.map(([M, N, K]) => ({ M, N, K }));

const ADVERSARIAL: readonly InputClass[] = ['cancelling', 'wide', 'denormal', 'signed zeros', 'largest'];
const ADVERSARIAL_SIZE: Size = { M: 17, N: 65, K: 100 };
const QUICK_TERMS = 4096;
const lengthened = (K: number): Size => ({ M: 17, N: 9, K });

export function matmulProblems(scope: Scope): Iterable<Problem> {
  return scope.quick ? quickProblems(scope) : allProblems(scope);
}

function* allProblems(scope: Scope): Generator<Problem> {
  const types = typesOf(scope);
  const make = (types: Types, form: MatmulForm, size: Size): Make => ({
    types,
    form,
    epilogue: epilogueOf(form, types),
    size,
  });
  const makes = types.flatMap(types => FORMS.flatMap(form => matmulCases.map(({ shape }) => make(types, form, shape))));
  // the sums of other types are made by the same lines
  const summed = types.filter(({ a, b, c }) => a === b && c === 'f32');
  const lengths = summed.flatMap(types => FORMS.flatMap(form => sumLengths.map(K => make(types, form, lengthened(K)))));
  const otherwise = makes
    .filter(({ size, types: { a, b, c } }) => size === matmulCases[0]!.shape && a === c && a === b)
    .flatMap(({ types, form, epilogue }) =>
      otherEpilogues(epilogue).map(other => ({ types, form, epilogue: other, size: ADVERSARIAL_SIZE })),
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
  for (const make of lengths) yield problem(cover, make, 'uniform', make.size.K);
  for (const make of otherwise) yield problem(cover, make, 'uniform');
}

/** One size for each form and type, and one more for each pipeline of the other variants: its largest. */
function adversarial(cover: Cover, makes: readonly Make[]): Make[] {
  const found = new Map<string, Make>();
  const keyOf = (make: Make) => JSON.stringify([make.types, make.form, vectorsOf(make)]);
  for (const make of makes) {
    const usual = { ...make, size: ADVERSARIAL_SIZE };
    found.set(keyOf(usual), usual);
    if (cover(make).size > 1 && keyOf(make) !== keyOf(usual)) found.set(keyOf(make), make);
  }
  return [...found.values()];
}

/**
 * What `quick` poses: by form a multiple of eight in every stored row, or in none, and by form and type one epilogue and
 * the variants that run beside the first, which is the adapter's own choice. So a pipeline is made for a variant, a form
 * and a type; tiles meet two forms, one in each type.
 */
interface Quick {
  readonly sizes: readonly Size[];
  readonly adversarial: Size;
  readonly others: Readonly<Record<'f32' | 'f16', readonly string[]>>;
}
const QUICK: Readonly<Record<MatmulForm, Quick>> = {
  NN: {
    sizes: sizes([1, 136, 8], [17, 72, 16], [65, 128, 136]),
    adversarial: { M: 17, N: 72, K: 104 },
    others: { f32: [], f16: ['tiled 8 x 8', 'matrix 1 x 2'] },
  },
  NT: {
    sizes: sizes([1, 129, 3], [17, 65, 15], [65, 128, 129]),
    adversarial: { M: 17, N: 65, K: 101 },
    others: { f32: ['tiled 8 x 8'], f16: ['tiled 4 x 4'] },
  },
  TN: {
    sizes: sizes([1, 129, 3], [17, 65, 15], [65, 127, 129]),
    adversarial: { M: 17, N: 65, K: 101 },
    others: { f32: ['tiled 4 x 4'], f16: ['matrix 2 x 1'] },
  },
};

function* quickProblems(scope: Scope): Generator<Problem> {
  const cover: Cover = ({ types, form }) => {
    const variants = [...matmulVariants(scope.adapter, types as MatmulTypes)];
    return new Map(variants.filter(([name], i) => i === 0 || QUICK[form].others[types.a].includes(name)));
  };
  for (const types of typesOf(scope).slice(0, hasHalves(scope.adapter) ? 2 : 1)) {
    for (const form of FORMS) {
      const epilogue = epilogueOf(form, types);
      const { sizes, adversarial } = QUICK[form];
      for (const size of sizes) yield problem(cover, { types, form, epilogue, size }, 'uniform');
      for (const inputClass of ADVERSARIAL) {
        yield problem(cover, { types, form, epilogue, size: adversarial }, inputClass);
      }
    }
  }
  const [types, form] = [typesOf(scope)[0]!, 'TN'] as const;
  for (const K of sumLengths.filter(K => K <= QUICK_TERMS)) {
    yield problem(cover, { types, form, epilogue: epilogueOf(form, types), size: lengthened(K) }, 'uniform', K);
  }
  // weights of bf16, as a model that is only used has them: rows of whole words, and others
  const chosen: Cover = ({ types }) => new Map([...matmulVariants(scope.adapter, types as MatmulTypes)].slice(0, 1));
  const bfloat = typesOf(scope).find(({ b }) => b === 'bf16')!;
  for (const [size, inputClass] of [
    [{ M: 1, N: 65, K: 18 }, 'uniform'],
    [{ M: 3, N: 65, K: 15 }, 'wide'],
  ] as const) {
    yield problem(chosen, { types: bfloat, form: 'NT', epilogue: 'none', size }, inputClass);
  }
}

const typesOf = ({ adapter }: Scope): readonly Types[] =>
  MATMUL_TYPES.filter(types => hasHalves(adapter) || !Object.values(types).includes('f16')) as readonly Types[];

function problem(cover: Cover, make: Make, inputClass: InputClass, terms?: number): Problem {
  const { types, form, epilogue, size } = make;
  const { M, N, K } = size;
  const label = `${form} ${M} ${N} ${K} ${inputClass}`;
  const shape = { ...size, transposeA: form === 'TN', transposeB: form === 'NT' };
  const { a, b, addend } = operands(types, size, inputClass, label);
  const A = shape.transposeA ? transposed(a, M, K) : a;
  const B = shape.transposeB ? transposed(b, K, N) : b;
  const hasAddend = epilogue !== 'none';
  return {
    kernel: 'matmul',
    shape: `${form} ${types.a} ${types.b} ${types.c}, M ${M} N ${N} K ${K}, ${epilogue === 'none' ? 'written' : epilogue === 'addend' ? 'with an addend' : 'accumulated'}`,
    inputClass,
    terms,
    inputs: {
      a: { type: types.a, values: A },
      b: { type: types.b, values: B },
      ...(epilogue === 'addend' && { addend: { type: types.c, values: addend } }),
    },
    outputs: { c: { type: types.c, count: M * N, initial: epilogue === 'accumulate' ? addend : undefined } },
    expected(given) {
      const left = given.a!;
      const right = given.b!;
      const added = given.addend ?? given.c;
      const product = matmul(left, right, shape);
      const reference = added ? product.map((value, i) => value + added[i]!) : product;
      const flushed = flushedProducts(left, right, shape, types);
      const bound = matmulBound(matmul(left, right, shape, true), K, added, flushed);
      return { c: { reference, bound: storedBound(bound, reference, types.c) } };
    },
    variants: [...cover(make)].map(([name, variant]) => ({
      name,
      calls: bind =>
        matmulCalls(
          variant,
          { form, ...size },
          {
            a: bind('a'),
            b: bind('b'),
            c: bind('c'),
            addend: hasAddend ? (epilogue === 'addend' ? bind('addend') : 'c') : undefined,
          },
        ),
    })),
  };
}

/** A [M, K], B [K, N] and an addend [M, N]; no sum of products overflows the result's type. */
function operands(types: Types, { M, N, K }: Size, inputClass: InputClass, label: string) {
  // what goes through matrices is rounded to f16 first, so that A is made of halves wherever B is
  const type = types.b === 'f16' ? 'f16' : types.a;
  const { largest } = FORMATS[types.c];
  const most = Math.min(FORMATS[type].largest, Math.sqrt(largest / K) / 2);
  if (inputClass === 'cancelling') {
    // pairs along K: a, -a(1+ε) against b, b
    const a = inputValues('cancelling', `a ${label}`, M * (K + (K % 2)), { type });
    const pairs = inputValues('uniform', `b ${label}`, Math.ceil(K / 2) * N, { type: types.b });
    const b = Float64Array.from({ length: K * N }, (_, i) => pairs[Math.floor(i / N / 2) * N + (i % N)]!);
    const cut = Float64Array.from({ length: M * K }, (_, i) => a[Math.floor(i / K) * (K + (K % 2)) + (i % K)]!);
    return { a: cut, b, addend: inputValues('signed zeros', `c ${label}`, M * N, { type: types.c }) };
  }
  const isLargest = inputClass === 'largest';
  const small = inputClass === 'denormal' || isLargest;
  const mostA = isLargest ? Math.min(FORMATS[type].largest, largest) : most;
  const mostB = isLargest ? largest / mostA / K / 2 : most;
  return {
    a: inputValues(inputClass, `a ${label}`, M * K, { type, most: mostA }),
    b: inputValues(small ? 'uniform' : inputClass, `b ${label}`, K * N, {
      type: types.b,
      most: Math.min(mostB, FORMATS[types.b].largest),
    }),
    addend: inputValues(isLargest ? 'uniform' : inputClass, `c ${label}`, M * N, { type: types.c, most: largest / 4 }),
  };
}

function transposed(matrix: Vector, rows: number, columns: number): Vector {
  const turned = new Float64Array(matrix.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) turned[c * rows + r] = matrix[r * columns + c]!;
  return turned;
}
