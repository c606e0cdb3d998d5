/** Matrix products: the call of each variant, and products of tensors beyond a binding, window by window. */
import { checkIndexable, grid, type KernelCall, kernelCall, type Operand } from './call.js';
import { type Strides, specialisation, type Windows } from './matmul-specialisation.js';
import type { MatmulSizes, MatmulVariant } from './matmul-variant.js';
import type { Constants } from './source.js';
import { type Activation, activationConstants, swigluForward } from './swiglu.js';
import type { VariantTable } from './variants.js';
import { rowsWithin, type Stretch, stretches, type Window, windowOf } from './windows.js';

export interface MatmulOperands {
  readonly a: Operand;
  readonly b: Operand;
  readonly c: Operand;
  /** Added to the product: another tensor, or 'c' for what C holds already. */
  readonly addend?: Operand | 'c' | undefined;
  /** Where A or C are not whole: they are the columns of a wider matrix as stored, from `first` on. */
  readonly columns?: { readonly of: 'a' | 'c'; readonly first: number; readonly width: number } | undefined;
}

/** The product with the variant that the table holds for it: one call, or one for each window. */
export function matmul(variants: VariantTable, sizes: MatmulSizes, operands: MatmulOperands): KernelCall[] {
  const { a, b, c } = operands;
  const variant = variants.of('matmul', { ...sizes, types: { a: a.type, b: b.type, c: c.type } });
  return matmulCalls(variant, sizes, operands, variants.maxBindingBytes);
}

/**
 * The product with a given variant. Rows of A, B or C that exceed a binding are taken in windows; where K is cut, the
 * windows after the first add to C.
 */
export function matmulCalls(
  variant: MatmulVariant,
  sizes: MatmulSizes,
  operands: MatmulOperands,
  maxBindingBytes = Number.MAX_SAFE_INTEGER,
): KernelCall[] {
  const { form, M, N, K } = sizes;
  const { a, b, c, addend, columns } = operands;
  const placed = (of: 'a' | 'c', width: number) => (columns?.of === of ? columns : whole(width));
  const [inA, inC] = [placed('a', form === 'TN' ? M : K), placed('c', N)];
  const strides: Strides = [inA.width, form === 'NT' ? K : N, inC.width];
  for (const elements of [(form === 'TN' ? K : M) * inA.width, K * N, M * inC.width]) {
    checkIndexable('matmul', elements);
  }
  const within = (operand: Operand, rowElements: number) => rowsWithin(maxBindingBytes, operand, rowElements);
  const added = addend === undefined || addend === 'c' ? undefined : addend;
  const mostM = Math.min(
    form === 'TN' ? Number.MAX_SAFE_INTEGER : within(a, inA.width),
    within(c, inC.width),
    added ? within(added, inC.width) : Number.MAX_SAFE_INTEGER,
  );
  const mostN = form === 'NT' ? within(b, K) : Number.MAX_SAFE_INTEGER;
  const mostK = Math.min(
    form === 'TN' ? within(a, inA.width) : Number.MAX_SAFE_INTEGER,
    form === 'NT' ? Number.MAX_SAFE_INTEGER : within(b, N),
  );
  const calls: KernelCall[] = [];
  for (const m of stretches(M, mostM)) {
    for (const n of stretches(N, mostN)) {
      for (const k of stretches(K, mostK)) {
        const windows = {
          a: form === 'TN' ? matrixWindow(a, k, m, inA) : matrixWindow(a, m, k, inA),
          b: form === 'NT' ? matrixWindow(b, n, k, whole(K)) : matrixWindow(b, k, n, whole(N)),
          c: matrixWindow(c, m, n, inC),
          addend:
            k.start > 0 ? ('c' as const) : added ? matrixWindow(added, m, n, inC) : addend === 'c' ? 'c' : undefined,
        };
        calls.push(call(variant, strides, { form, M: m.count, N: n.count, K: k.count }, windows));
      }
    }
  }
  return calls;
}

/** Where a matrix stands: the columns from `first` on of one that is stored in rows of `width` elements. */
interface Columns {
  readonly first: number;
  readonly width: number;
}
const whole = (width: number): Columns => ({ first: 0, width });

/** Rows and columns of a stored matrix. */
function matrixWindow(operand: Operand, rows: Stretch, columns: Stretch, { first, width }: Columns): Window {
  const start = rows.start * width + first + columns.start;
  return windowOf(operand, start, (rows.count - 1) * width + columns.count);
}

/** One dispatch, of the sizes `part`. */
function call(variant: MatmulVariant, strides: Strides, part: MatmulSizes, windows: Windows): KernelCall {
  const { form, M, N, K } = part;
  const { a, b, c, addend } = windows;
  const added = addend === undefined || addend === 'c' ? undefined : addend;
  const [name, constants, tileM, tileN] = specialisation(variant, part, strides, windows);
  const label = `${name} ${form}${typesLabel(a.operand, b.operand)}`;
  return kernelCall(name, {
    constants: {
      ...typeConstants(a.operand, b.operand, c.operand),
      ADDEND_STORED: added?.operand.type ?? 'f32',
      TRANSPOSE_A: form === 'TN',
      TRANSPOSE_B: form === 'NT',
      ADDEND: added !== undefined,
      ACCUMULATE: addend === 'c',
      SWIGLU: false,
      ...activationConstants(),
      ...constants,
    },
    operands: { a: a.operand, b: b.operand, c: c.operand, addend: added?.operand },
    params: {
      ...paramsOf(part, strides),
      a_first: a.first,
      b_first: b.first,
      c_first: c.first,
      addend_first: added?.first ?? 0,
    },
    workgroups: grid(label, Math.ceil(N / tileN), Math.ceil(M / tileM)),
    label,
    flops: 2 * M * N * K,
  });
}

const paramsOf = ({ M, N, K }: MatmulSizes, [a_stride, b_stride, c_stride]: Strides) => {
  return { M, N, K, a_stride, b_stride, c_stride };
};

/** The types of the operands, C stored element by element; a variant that stores vectors has others. */
const typeConstants = (a: Operand, b: Operand, c: Operand): Constants => ({
  A_TYPE: a.type,
  B_TYPE: b.type,
  C_TYPE: c.type,
  C_STORED: c.type,
  VALUE: 'f32',
});

/** What of the operands is not f32. */
const typesLabel = (a: Operand, b: Operand): string => {
  const type = [a.type, b.type].find(type => type !== 'f32');
  return type ? ` ${type}` : '';
};

/** Whether a thread of the variant has gate and up of an element in its registers. */
export const hasBothSides = (variant: MatmulVariant): variant is Exclude<MatmulVariant, { kernel: 'matrix' }> =>
  variant.kernel !== 'matrix' && variant.columns % 2 === 0;

/**
 * gateUp [M, 2F] = x [M, K] weightᵀ, weight [2F, K], and y [M, F] = silu(gate) * up of its halves, or another
 * activation of the gate: in one pass where the variant has both sides in a thread's registers and all fits a binding,
 * else in two.
 */
export function matmulSwiglu(
  variants: VariantTable,
  { M, F, K, activation }: Readonly<Record<'M' | 'F' | 'K', number>> & { readonly activation?: Activation | undefined },
  operands: Record<'x' | 'weight' | 'gateUp' | 'y', Operand>,
): KernelCall[] {
  const { x, weight, gateUp, y } = operands;
  const sizes = { form: 'NT', M, N: 2 * F, K } as const;
  const variant = variants.of('matmul', { ...sizes, types: { a: x.type, b: weight.type, c: gateUp.type } });
  const fits = Object.values(operands).every(({ sizeBytes }) => sizeBytes <= variants.maxBindingBytes);
  if (!hasBothSides(variant) || !fits) {
    return [
      ...matmulCalls(variant, sizes, { a: x, b: weight, c: gateUp }, variants.maxBindingBytes),
      ...swigluForward(variants, { rows: M, columns: F, activation }, { x: gateUp, y }),
    ];
  }
  checkIndexable('matmul_swiglu', M * 2 * F);
  const part = { form: 'NT', M, N: F, K } as const;
  const all = (operand: Operand): Window => ({ operand, first: 0 });
  const windows = { a: all(x), b: all(weight), c: all(gateUp), addend: undefined };
  const perSide = { ...variant, columns: variant.columns / 2 };
  const strides: Strides = [K, K, 2 * F];
  const [name, constants, tileM, tileN] = specialisation(perSide, part, strides, windows);
  const label = `${name}_swiglu NT${typesLabel(x, weight)}`;
  const call = kernelCall(name, {
    constants: {
      ...typeConstants(x, weight, gateUp),
      TRANSPOSE_A: false,
      TRANSPOSE_B: true,
      ADDEND: false,
      ACCUMULATE: false,
      SWIGLU: true,
      ...activationConstants(activation),
      ...constants,
      SIDES: 2,
    },
    operands: { a: x, b: weight, c: gateUp, y },
    params: { ...paramsOf(part, strides), a_first: 0, b_first: 0, c_first: 0, addend_first: 0 },
    workgroups: grid(label, Math.ceil(F / tileN), Math.ceil(M / tileM)),
    label,
    flops: 4 * M * F * K,
  });
  return [call];
}
