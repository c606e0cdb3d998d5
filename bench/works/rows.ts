/** RMSNorm forward and backward, and cross-entropy with its gradient: what a row at a time costs. */
import { crossEntropyCase } from '../../src/cases/cross-entropy.js';
import { rmsnormBackwardCase, rmsnormForwardCase } from '../../src/cases/rmsnorm.js';
import type { Device } from '../../src/gpu/device.js';
import { Random } from '../../src/random.js';
import { uniform } from '../tensors.js';
import type { Work } from '../work.js';
import { caseWork, type KernelOptions } from './case.js';
import { verify } from './kernel.js';

/** Rows that a check takes in float64, from the first on. */
const CHECKED_ELEMENTS = 2 ** 22;

/** x [rows, columns] → y, then dy → dx and the weight's gradient. */
export function rmsnormWork(
  device: Device,
  rows: number,
  columns: number,
  { variants }: KernelOptions = {},
): Promise<Work> {
  const name = `rmsnorm ${rows} x ${columns}`;
  const sizes = { rows, columns, type: 'f32' } as const;
  const [forward, backward] = [rmsnormForwardCase(sizes), rmsnormBackwardCase(sizes)];
  return caseWork(device, {
    name,
    kind: 'rmsnorm',
    variants,
    rate: 'bytes',
    cases: [forward, backward],
    fill: (label, count) => (label === 'total' ? new Float32Array(count) : undefined),
    async check(read) {
      const exactly = async (label: string) => Float64Array.from(await read(label));
      const given = { x: await exactly('x'), weight: await exactly('weight'), dy: await exactly('dy') };
      const { y, rstd } = forward.expected(given);
      const total = new Float64Array(columns);
      const gradients = backward.expected({ ...given, rstd: rstd!.reference, total });
      return verify(name, [
        { what: 'y', actual: await read('y'), ...y! },
        { what: 'dx', actual: await read('dx'), ...gradients.dx! },
        { what: 'dweight', actual: await read('total'), ...gradients.total! },
      ]);
    },
  });
}

/** logits [rows, vocabulary] → losses, and the logits' gradient in their place. */
export function crossEntropyWork(
  device: Device,
  rows: number,
  vocabulary: number,
  { variants }: KernelOptions = {},
): Promise<Work> {
  const name = `cross-entropy ${rows} x ${vocabulary}`;
  const random = new Random(0, 'targets');
  const ids = Uint32Array.from({ length: rows }, () => random.integer(vocabulary));
  const logitsOf = (count: number) => uniform('logits', count, -4, 4);
  return caseWork(device, {
    name,
    kind: 'cross-entropy',
    variants,
    rate: 'bytes',
    cases: [crossEntropyCase({ rows, columns: vocabulary, type: 'f32' })],
    fill: (label, count) => (label === 'targets' ? ids : logitsOf(count)),
    async check(read) {
      const checked = Math.max(1, Math.min(rows, Math.floor(CHECKED_ELEMENTS / vocabulary)));
      const part = crossEntropyCase({ rows: checked, columns: vocabulary, type: 'f32', scale: 1 / rows });
      const { losses, logits } = part.expected({
        targets: Float64Array.from(ids.subarray(0, checked)),
        logits: Float64Array.from(logitsOf(rows * vocabulary).subarray(0, checked * vocabulary)),
      });
      return verify(name, [
        { what: 'losses', actual: (await read('losses')).subarray(0, checked), ...losses! },
        { what: 'dlogits', actual: (await read('logits')).subarray(0, checked * vocabulary), ...logits! },
      ]);
    },
  });
}
