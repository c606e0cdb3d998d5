/** Matrix products in the three forms of a linear layer's forward and backward. */
import { Graph } from '../../src/autograd/graph.js';
import type { Tensor } from '../../src/autograd/tensor.js';
import { UserError } from '../../src/errors.js';
import type { Device } from '../../src/gpu/device.js';
import { matmul } from '../../src/kernels/matmul.js';
import type { MatmulForm } from '../../src/kernels/matmul-variant.js';
import type { Precision } from '../../src/model/model.js';
import { matmulBound } from '../../src/numerics/bounds.js';
import { matmul as matmul64 } from '../../src/numerics/reference.js';
import { place, uniform } from '../tensors.js';
import type { Work } from '../work.js';
import { kernelWork, verify } from './kernel.js';

/** Products that a check may take in float64: some tenths of a second. */
const CHECKED_PRODUCTS = 2 ** 27;

/** C = op(A) op(B) with all sizes `size`; A and B of `precision`, C in f32. */
export async function matmulWork(
  device: Device,
  form: MatmulForm,
  size: number,
  precision: Precision = 'f32',
): Promise<Work> {
  if (precision === 'f16' && !device.adapter.features.includes('shader-f16')) {
    throw new UserError(`the adapter '${device.adapter.name}' has no f16 (shader-f16)`);
  }
  const name = `matmul ${form} ${size}${precision === 'f16' ? ' f16' : ''}`;
  const tensors: Tensor[] = [];
  for (const label of ['a', 'b']) tensors.push(place(device, label, [size, size], uniform, precision));
  tensors.push(place(device, 'c', [size, size]));
  const [a, b, c] = tensors as [Tensor, Tensor, Tensor];
  const graph = new Graph();
  graph.add({
    op: 'matmul',
    inputs: [a, b],
    outputs: [],
    updates: [c],
    launch: (variants, bind) =>
      matmul(variants, { form, M: size, N: size, K: size }, { a: bind(a), b: bind(b), c: bind(c) }),
  });
  return kernelWork(device, {
    name,
    kind: 'matmul',
    precision,
    flops: 2 * size ** 3,
    bytes: (precision === 'f16' ? 8 : 12) * size ** 2,
    rate: 'flops',
    graph,
    tensors,
    check: async read => verifyProduct(name, form, size, await read(a), await read(b), await read(c)),
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
  const shape = { M: rows, N: size, K: size, transposeA: false, transposeB: form === 'NT' };
  const wide = Float64Array.from(b);
  const magnitudes = matmul64(rowsOfA, wide, shape, true);
  const actual = Float32Array.from(
    { length: rows * size },
    (_, i) => c[picked[Math.floor(i / size)]! * size + (i % size)]!,
  );
  return verify(name, [
    { what: 'the product', actual, reference: matmul64(rowsOfA, wide, shape), bound: matmulBound(magnitudes, size) },
  ]);
}
