/** Matrix products in the three forms of a linear layer's forward and backward. */
import { matmulCase } from '../../src/cases/matmul.js';
import type { Device } from '../../src/gpu/device.js';
import type { MatmulForm } from '../../src/kernels/matmul-variant.js';
import type { Work } from '../work.js';
import { caseWork, checkHalves, type KernelOptions, verifyCase } from './case.js';

/** Products that a check may take in float64: some tenths of a second. */
const CHECKED_PRODUCTS = 2 ** 27;

/** C = op(A) op(B) with all sizes `size`; A and B of `precision`, C in f32. */
export async function matmulWork(
  device: Device,
  form: MatmulForm,
  size: number,
  { precision = 'f32', variants }: KernelOptions = {},
): Promise<Work> {
  checkHalves(device, precision);
  const name = `matmul ${form} ${size}${precision === 'f16' ? ' f16' : ''}`;
  const types = { a: precision, b: precision, c: 'f32' } as const;
  return caseWork(device, {
    name,
    kind: 'matmul',
    precision,
    variants,
    rate: 'flops',
    cases: [matmulCase({ form, M: size, N: size, K: size, types })],
    check: async read => verifyProduct(name, form, size, await read('a'), await read('b'), await read('c')),
  });
}

/** Compares rows of C, spread evenly, the first and the last among them; all of them where that takes little time. */
export function verifyProduct(
  name: string,
  form: MatmulForm,
  size: number,
  a: Float32Array,
  b: Float32Array,
  c: Float32Array,
): string {
  const rows = Math.max(Math.min(size, 8), Math.min(size, Math.floor(CHECKED_PRODUCTS / size ** 2)));
  const picked = Array.from({ length: rows }, (_, i) => Math.round((i * (size - 1)) / Math.max(1, rows - 1)));
  const rowsOfA = Float64Array.from({ length: rows * size }, (_, i) => {
    const [row, k] = [picked[Math.floor(i / size)]!, i % size];
    return a[form === 'TN' ? k * size + row : row * size + k]!;
  });
  const actual = Float32Array.from(
    { length: rows * size },
    (_, i) => c[picked[Math.floor(i / size)]! * size + (i % size)]!,
  );
  const types = { a: 'f32', b: 'f32', c: 'f32' } as const;
  const part = matmulCase({ form: form === 'NT' ? 'NT' : 'NN', M: rows, N: size, K: size, types });
  return verifyCase(name, part, { a: rowsOfA, b: Float64Array.from(b) }, { c: actual });
}
