/** Matrix products: every form and type, each epilogue, along every tile edge, and sums of up to 65,536 terms. */
import { matmulCalls } from '../../kernels/matmul.js';
import type { MatmulForm } from '../../kernels/matmul-variant.js';
import { flushedProducts, matmulBound, storedBound } from '../../numerics/bounds.js';
import { matmulCases, sumLengths } from '../../numerics/cases.js';
import { FORMATS, type InputClass, inputValues, type StoredType } from '../../numerics/inputs.js';
import { matmul, type Vector } from '../../numerics/reference.js';
import { hasHalves, type Problem, type Scope } from '../problem.js';
import { MATMUL_TYPES, type MatmulTypes, matmulVariants } from '../variants.js';

const FORMS: readonly MatmulForm[] = ['NN', 'NT', 'TN'];
const EPILOGUES = ['none', 'addend', 'accumulate'] as const;
type Epilogue = (typeof EPILOGUES)[number];
type Types = Readonly<Record<'a' | 'b' | 'c', StoredType>>;
type Size = Readonly<Record<'M' | 'N' | 'K', number>>;
const sizes = (...all: (readonly [M: number, N: number, K: number])[]): Size[] => all.map(([M, N, K]) => ({ M, N, K }));

const ADVERSARIAL: readonly InputClass[] = ['cancelling', 'wide', 'denormal', 'signed zeros', 'largest'];

/**
 * What `quick` poses, by form: a multiple of eight in every stored row, or in none, and one epilogue, so that a variant is
 * compiled once. The first variant, which is the adapter's own choice, takes every form, each other one a form or two.
 */
const QUICK: Readonly<Record<MatmulForm, { readonly sizes: readonly Size[]; readonly others: readonly string[] }>> = {
  NN: { sizes: sizes([1, 136, 8], [17, 72, 16], [65, 128, 136]), others: ['tiled 8 x 8', 'matrix, one'] },
  NT: { sizes: sizes([1, 129, 3], [17, 65, 15], [65, 128, 129]), others: ['tiled 4 x 4', 'matrix, many'] },
  TN: { sizes: sizes([1, 129, 3], [17, 65, 15], [65, 127, 129]), others: ['tiled 4 x 4', 'matrix, one'] },
};

export function* matmulProblems(scope: Scope): Generator<Problem> {
  const types = typesOf(scope);
  for (const type of scope.quick ? types.slice(0, 2) : types) {
    for (const form of FORMS) {
      const epilogue = epilogueOf(form, type);
      for (const size of scope.quick ? QUICK[form].sizes : matmulCases.map(({ shape }) => shape)) {
        yield problem(scope, type, form, epilogue, size, 'uniform');
      }
      if (scope.quick && form !== 'NT') continue;
      for (const inputClass of ADVERSARIAL) {
        yield problem(scope, type, form, epilogue, { M: 17, N: 65, K: scope.quick ? 101 : 100 }, inputClass);
      }
    }
  }
  const lengths = scope.quick ? sumLengths.filter(K => K <= 4096) : sumLengths;
  for (const type of types) {
    // the sums of other types are made by the same lines
    if (type.a !== type.b || type.c !== 'f32' || (scope.quick && type.a !== 'f32')) continue;
    for (const [i, K] of lengths.entries()) {
      const form = scope.quick ? 'TN' : FORMS[i % FORMS.length]!;
      yield problem(scope, type, form, epilogueOf(form, type), { M: 17, N: 9, K }, 'uniform', K);
    }
  }
}

const typesOf = ({ adapter }: Scope): readonly Types[] =>
  MATMUL_TYPES.filter(({ b }) => b === 'f32' || hasHalves(adapter)) as readonly Types[];

/** Each form has another for each type, and meets every one: what an epilogue does depends on no form. */
function epilogueOf(form: MatmulForm, types: Types): Epilogue {
  const type = MATMUL_TYPES.findIndex(({ a, b, c }) => a === types.a && b === types.b && c === types.c);
  return EPILOGUES[(FORMS.indexOf(form) + type) % EPILOGUES.length]!;
}

function problem(
  { adapter, quick }: Scope,
  types: Types,
  form: MatmulForm,
  epilogue: Epilogue,
  size: Size,
  inputClass: InputClass,
  terms?: number,
): Problem {
  const { M, N, K } = size;
  const label = `${form} ${M} ${N} ${K} ${inputClass}`;
  const shape = { ...size, transposeA: form === 'TN', transposeB: form === 'NT' };
  const { a, b, addend } = operands(types, size, inputClass, label);
  const A = shape.transposeA ? transposed(a, M, K) : a;
  const B = shape.transposeB ? transposed(b, K, N) : b;
  const hasAddend = epilogue !== 'none';
  const variants = [...matmulVariants(adapter, types as MatmulTypes)].filter(
    ([name], i) => !quick || i === 0 || QUICK[form].others.includes(name),
  );
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
    variants: variants.map(([name, variant]) => ({
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
  const type = types.b;
  const { largest } = FORMATS[types.c];
  const most = Math.min(FORMATS[type].largest, Math.sqrt(largest / K) / 2);
  if (inputClass === 'cancelling') {
    // pairs along K: a, -a(1+ε) against b, b
    const a = inputValues('cancelling', `a ${label}`, M * (K + (K % 2)), { type });
    const pairs = inputValues('uniform', `b ${label}`, Math.ceil(K / 2) * N, { type });
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
      type,
      most: Math.min(mostB, FORMATS[type].largest),
    }),
    addend: inputValues(isLargest ? 'uniform' : inputClass, `c ${label}`, M * N, { type: types.c, most: largest / 4 }),
  };
}

function transposed(matrix: Vector, rows: number, columns: number): Vector {
  const turned = new Float64Array(matrix.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) turned[c * rows + r] = matrix[r * columns + c]!;
  return turned;
}
