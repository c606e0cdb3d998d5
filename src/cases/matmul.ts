/** Matrix products of every form and type, with each epilogue; and the product of a gated MLP, SwiGLU in one pass. */
import { BYTES, type ElementType } from '../kernels/element-type.js';
import { matmul, matmulSwiglu } from '../kernels/matmul.js';
import type { MatmulSizes } from '../kernels/matmul-variant.js';
import type { Activation } from '../kernels/swiglu.js';
import { flushedProducts, matmulBound, storedBound, swigluOfProductsBound } from '../numerics/bounds.js';
import { FORMATS, type Format, type InputClass, inputValues, type StoredType } from '../numerics/inputs.js';
import * as reference from '../numerics/reference.js';
import { apart } from '../numerics/side-by-side.js';
import { type Case, drawn, Input, kernelCase, updated } from './case.js';

type Vector = reference.Vector;

/** What products are made of: f32; activations and weights in halves; the same for logits; f32 times stored weights. */
export const MATMUL_TYPES = [
  { a: 'f32', b: 'f32', c: 'f32' },
  { a: 'f16', b: 'f16', c: 'f16' },
  { a: 'f16', b: 'f16', c: 'f32' },
  { a: 'f32', b: 'f16', c: 'f16' },
  { a: 'f32', b: 'f16', c: 'f32' },
  { a: 'f32', b: 'bf16', c: 'f32' },
] as const satisfies readonly Readonly<Record<'a' | 'b' | 'c', ElementType>>[];
export type MatmulTypes = Readonly<Record<'a' | 'c', StoredType> & Record<'b', Format>>;

/** Another tensor added to the product, or the product to what C holds. */
export const EPILOGUES = ['none', 'addend', 'accumulate'] as const;
export type Epilogue = (typeof EPILOGUES)[number];
const EPILOGUE_NAMES = { none: 'written', addend: 'with an addend', accumulate: 'accumulated' };

export interface MatmulCase extends MatmulSizes {
  readonly types: MatmulTypes;
  readonly epilogue?: Epilogue;
  readonly inputClass?: InputClass;
}

export function matmulCase(given: MatmulCase): Case {
  const { form, M, N, K, types, epilogue = 'none', inputClass = 'uniform' } = given;
  const shape = { M, N, K, transposeA: form === 'TN', transposeB: form === 'NT' };
  const values = operandsOf(given);
  return kernelCase({
    kernel: 'matmul',
    shape: `${form} ${types.a} ${types.b} ${types.c}, M ${M} N ${N} K ${K}, ${EPILOGUE_NAMES[epilogue]}`,
    inputClass,
    inputs: {
      a: new Input(types.a, M * K, () => (shape.transposeA ? transposed(values.a(), M, K) : values.a())),
      b: new Input(types.b, K * N, () => (shape.transposeB ? transposed(values.b(), K, N) : values.b())),
      ...(epilogue === 'addend' && { addend: values.addend }),
    },
    outputs: { c: epilogue === 'accumulate' ? updated(values.addend) : { type: types.c, count: M * N } },
    flops: 2 * M * N * K,
    bytes: BYTES[types.a] * M * K + BYTES[types.b] * K * N + BYTES[types.c] * M * N,
    expected({ a, b, addend, c }) {
      const added: Vector | undefined = addend ?? c;
      const product = reference.matmul(a, b, shape);
      const sum = added ? product.map((value, i) => value + added[i]!) : product;
      const magnitudes = reference.matmul(a, b, shape, true);
      const bound = matmulBound(magnitudes, K, added, flushedProducts(a, b, shape, types));
      return { c: { reference: sum, bound: storedBound(bound, sum, types.c) } };
    },
    calls: (variants, operands) =>
      matmul(variants, { form, M, N, K }, { ...operands, ...(epilogue === 'accumulate' && { addend: 'c' as const }) }),
  });
}

/** A [M, K], B [K, N] and an addend [M, N]; no sum of products overflows the result's type. */
function operandsOf({ form, M, N, K, types, inputClass = 'uniform' }: MatmulCase) {
  const label = `${form} ${M} ${N} ${K} ${inputClass}`;
  // what goes through matrices is rounded to f16 first, so that A is made of halves wherever B is
  const type = types.b === 'f16' ? 'f16' : types.a;
  const { largest } = FORMATS[types.c];
  const most = Math.min(FORMATS[type].largest, Math.sqrt(largest / K) / 2);
  if (inputClass === 'cancelling') {
    return {
      // pairs along K: a, -a(1+ε) against b, b
      a() {
        const even = K + (K % 2);
        const pairs = inputValues('cancelling', `a ${label}`, M * even, { type });
        return Float64Array.from({ length: M * K }, (_, i) => pairs[Math.floor(i / K) * even + (i % K)]!);
      },
      b() {
        const pairs = inputValues('uniform', `b ${label}`, Math.ceil(K / 2) * N, { type: types.b });
        return Float64Array.from({ length: K * N }, (_, i) => pairs[Math.floor(i / N / 2) * N + (i % N)]!);
      },
      addend: drawn('signed zeros', `c ${label}`, M * N, { type: types.c }),
    };
  }
  const isLargest = inputClass === 'largest';
  const mostA = isLargest ? Math.min(FORMATS[type].largest, largest) : most;
  const mostB = Math.min(isLargest ? largest / mostA / K / 2 : most, FORMATS[types.b].largest);
  const others = isLargest ? 'uniform' : inputClass;
  return {
    a: () => inputValues(inputClass, `a ${label}`, M * K, { type, most: mostA }),
    b: () =>
      inputValues(inputClass === 'denormal' ? 'uniform' : others, `b ${label}`, K * N, { type: types.b, most: mostB }),
    addend: drawn(others, `c ${label}`, M * N, { type: types.c, most: largest / 4 }),
  };
}

function transposed(matrix: Vector, rows: number, columns: number): Vector {
  const turned = new Float64Array(matrix.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) turned[c * rows + r] = matrix[r * columns + c]!;
  return turned;
}

export interface MatmulSwigluCase {
  readonly M: number;
  readonly F: number;
  readonly K: number;
  /** The type of all but the weight. */
  readonly type: StoredType;
  readonly weightType?: Format;
  readonly activation?: Activation | undefined;
  readonly inputClass?: InputClass;
}

/** x [M, K], weight [2F, K] → gateUp [M, 2F], y [M, F] of what is stored of them. */
export function matmulSwigluCase(given: MatmulSwigluCase): Case {
  const { M, F, K, type, weightType = given.type, activation = 'silu', inputClass = 'uniform' } = given;
  const label = `${M} ${F} ${K} ${inputClass}`;
  // gate times up must not overflow
  const most = Math.sqrt(Math.sqrt(FORMATS[type].largest) / K / 2);
  const options = { low: -1, high: 1, most };
  const weightClass = inputClass === 'denormal' ? 'uniform' : inputClass;
  const shape = { M, N: 2 * F, K, transposeA: false, transposeB: true };
  return kernelCase({
    kernel: 'matmul_swiglu',
    shape:
      `${type}${weightType === type ? '' : ` times ${weightType}`}${activation === 'silu' ? '' : ` ${activation}`}` +
      `, M ${M} F ${F} K ${K}`,
    inputClass,
    inputs: {
      x: drawn(inputClass, `x ${label}`, M * K, { ...options, type }),
      weight: drawn(weightClass, `w ${label}`, 2 * F * K, { ...options, type: weightType }),
    },
    outputs: { gateUp: { type, count: 2 * M * F }, y: { type, count: M * F } },
    expected({ x, weight }) {
      const gateUp = reference.matmul(x, weight, shape);
      const flushed = flushedProducts(x, weight, shape, { a: type, b: weightType });
      const sums = matmulBound(reference.matmul(x, weight, shape, true), K, undefined, flushed);
      const gateUpBound = storedBound(sums, gateUp, type);
      const [gate, up] = apart(gateUp, M, [F, F]) as [Vector, Vector];
      const [gateError, upError] = apart(gateUpBound, M, [F, F]) as [Vector, Vector];
      const y = (activation === 'silu' ? reference.swiglu : reference.geglu)(gate, up);
      const bound = storedBound(swigluOfProductsBound(gate, up, gateError, upError, activation), y, type);
      return { gateUp: { reference: gateUp, bound: gateUpBound }, y: { reference: y, bound } };
    },
    calls: (variants, operands) => matmulSwiglu(variants, { M, F, K, activation }, operands),
  });
}
