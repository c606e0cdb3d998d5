/** Causal attention, forward and backward. */
import { attentionCases, attentionExpected } from '../../src/cases/attention.js';
import type { Device } from '../../src/gpu/device.js';
import type { AttentionSizes } from '../../src/kernels/attention-variant.js';
import type { StoredType } from '../../src/numerics/inputs.js';
import { apart, sideBySide } from '../../src/numerics/side-by-side.js';
import { uniform } from '../tensors.js';
import type { Work } from '../work.js';
import { caseWork, checkHalves, type KernelOptions } from './case.js';
import { verify } from './kernel.js';

/** Scores that a check may hold in float64. */
const CHECKED_SCORES = 2 ** 20;

/** Forward, and both passes of the gradient on what it left. */
export const attentionOf = (shape: AttentionSizes, type: StoredType = 'f32') =>
  Object.values(attentionCases({ ...shape, type }));

export type AttentionArrays = Readonly<Record<'q' | 'k' | 'v' | 'dout' | 'out' | 'dq' | 'dk' | 'dv', Float32Array>>;

/** Uniform in [-1, 1): scores are then of the size that a trained model's are. */
export const attentionInput = (label: string, count: number): Float32Array<ArrayBuffer> => uniform(label, count, -1, 1);

/** B sequences of T, H heads of size D, with as many key and value heads. */
export async function attentionWork(
  device: Device,
  shape: AttentionSizes,
  { precision = 'f32', variants }: KernelOptions = {},
): Promise<Work> {
  checkHalves(device, precision);
  const { B, T, H, D } = shape;
  const name = `attention T ${T}${precision === 'f16' ? ' f16' : ''}`;
  const width = H * D;
  const qkv = () => {
    // q, k and v as peers get them, side by side as the kernel takes them
    const parts = ['q', 'k', 'v'].map(label => Float64Array.from(attentionInput(label, B * T * width)));
    return Float32Array.from(sideBySide(parts, B * T));
  };
  return caseWork(device, {
    name,
    kind: 'attention',
    rate: 'flops',
    precision,
    variants,
    cases: attentionOf(shape, precision),
    fill: (label, count) => (label === 'qkv' ? qkv() : attentionInput(label, count)),
    async check(read) {
      const [q, k, v] = apart(await read('qkv'), B * T, [width, width, width]);
      const [dq, dk, dv] = apart(await read('dqkv'), B * T, [width, width, width]);
      const arrays = { q: q!, k: k!, v: v!, dout: await read('dout'), out: await read('out') };
      return verifyAttention(name, shape, { ...arrays, dq: dq!, dk: dk!, dv: dv! }, precision);
    },
  });
}

/** Compares the results of the first sequence's first heads, as many as little memory allows, row by row. */
export function verifyAttention(
  name: string,
  { T, H, D }: AttentionSizes,
  arrays: AttentionArrays,
  type: StoredType = 'f32',
): string {
  const heads = Math.max(1, Math.min(H, Math.floor(CHECKED_SCORES / T ** 2)));
  const shape = { B: 1, T, H: heads, KV: heads, D };
  const slice = (label: keyof AttentionArrays) =>
    Float64Array.from({ length: T * heads * D }, (_, i) => {
      const [t, rest] = [Math.floor(i / (heads * D)), i % (heads * D)];
      return arrays[label][t * H * D + rest]!;
    });
  const together = (...labels: (keyof AttentionArrays)[]) => sideBySide(labels.map(slice), T);
  const { out, dqkv } = attentionExpected(together('q', 'k', 'v'), slice('dout'), shape, { type });
  return verify(name, [
    { what: 'out', actual: Float32Array.from(slice('out')), ...out },
    { what: 'a gradient', actual: Float32Array.from(together('dq', 'dk', 'dv')), ...dqkv },
  ]);
}
