/** Each work checks its result before it is timed, and refuses a wrong one. */
import { describe, expect, test } from 'vitest';
import { measureKernels } from '../../bench/benchmark.js';
import type { MakeWork } from '../../bench/catalogue.js';
import { LOSS_TOLERANCE, verifyLosses } from '../../bench/engines/tasks.js';
import { uniform } from '../../bench/tensors.js';
import { adamwInput, adamwWork, verifyAdamw } from '../../bench/works/adamw.js';
import { attentionWork, verifyAttention } from '../../bench/works/attention.js';
import { matmulWork, verifyProduct } from '../../bench/works/matmul.js';
import { crossEntropyWork, rmsnormWork } from '../../bench/works/rows.js';
import { modelConfig, stepWork } from '../../bench/works/step.js';
import { UserError } from '../../src/errors.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
const config = modelConfig(
  { hiddenSize: 32, intermediateSize: 40, numHiddenLayers: 2, numAttentionHeads: 2 },
  61,
  false,
  16,
);

test('every work is right on odd sizes, measured beside the ceilings, and leaves no memory behind', async () => {
  const { device } = context;
  const works: MakeWork[] = [
    device => matmulWork(device, 'TN', 65),
    device => attentionWork(device, { B: 1, T: 33, H: 2, KV: 2, D: 32 }),
    device => adamwWork(device, 1001),
    device => rmsnormWork(device, 65, 33),
    device => crossEntropyWork(device, 17, 61),
    device => stepWork(device, config, { B: 2, T: 16 }),
  ];
  const options = { rounds: 1, seconds: 0.001 };
  await measureKernels(device, works.slice(0, 1), options); // makes the readback buffers, which stay with the device
  const before = device.memory.bytes;
  const { samples, steps } = await measureKernels(device, works, options);
  expect(device.memory.bytes).toBe(before);
  expect(samples.map(({ kind }) => kind)).toEqual([
    'ceiling',
    'ceiling',
    'matmul',
    'attention',
    'adamw',
    'rmsnorm',
    'cross-entropy',
    'step',
  ]);
  for (const { wall, check } of samples) {
    expect(Math.min(...wall)).toBeGreaterThan(0);
    expect(check).toMatch(/of the float64 bound/);
  }
  expect(steps).toHaveLength(1);
  expect(steps[0]!.costs).toMatchObject({ submits: 1, buffersAfterStep2: 0 });
  expect(steps[0]!.costs.dispatches).toBeGreaterThan(0);
  expect(steps[0]!.costs.peakBytes).toBeGreaterThan(16 * steps[0]!.parameters);
});

test('a size beyond the limits is a UserError that names the limit; among others it is skipped', async () => {
  await expect(matmulWork(context.device, 'NN', 100_000)).rejects.toThrow(UserError);
  await expect(adamwWork(context.device, 1e12)).rejects.toThrow(/max\w+Size/);
  const tooLarge: MakeWork = device => adamwWork(device, 1e12);
  const options = { rounds: 1, seconds: 0.001 };
  await expect(measureKernels(context.device, [tooLarge, tooLarge], options)).rejects.toThrow(UserError);
  const { samples, skipped } = await measureKernels(
    context.device,
    [tooLarge, device => adamwWork(device, 9)],
    options,
  );
  expect(samples.map(({ name }) => name)).toContain('adamw 9');
  expect(skipped).toEqual([expect.stringMatching(/'gradient' needs 4000000000000 bytes/)]);
});

describe('a wrong result is refused', () => {
  test('one element of a product', () => {
    const size = 9;
    const [a, b] = [uniform('a', 81), uniform('b', 81)];
    const c = Float32Array.from({ length: 81 }, (_, i) => {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += a[Math.floor(i / size) * size + k]! * b[k * size + (i % size)]!;
      return sum;
    });
    expect(verifyProduct('x', 'NN', size, a, b, c)).toMatch(/81 elements/);
    c[40]! += 1e-3;
    expect(() => verifyProduct('x', 'NN', size, a, b, c)).toThrow(/c is wrong/);
    c[40] = Number.NaN;
    expect(() => verifyProduct('x', 'NN', size, a, b, c)).toThrow(/c is wrong/);
  });

  test('attention that sees the next token', () => {
    // two tokens, equal values but for the second: an output of the first that has any of it is wrong
    const arrays = {
      q: Float32Array.of(1, 1, 1, 1),
      k: Float32Array.of(1, 1, 1, 1),
      v: Float32Array.of(1, 1, 3, 3),
      dout: new Float32Array(4),
      out: Float32Array.of(1, 1, 2, 2),
      dq: new Float32Array(4),
      dk: new Float32Array(4),
      dv: new Float32Array(4),
    };
    const shape = { B: 1, T: 2, H: 1, KV: 1, D: 2 };
    expect(verifyAttention('x', shape, arrays)).toMatch(/16 elements/);
    expect(() => verifyAttention('x', shape, { ...arrays, out: Float32Array.of(2, 2, 2, 2) })).toThrow(/out is wrong/);
  });

  test('an AdamW that left the parameters as they were', () => {
    const after = { parameter: adamwInput('parameter', 4), m: adamwInput('m', 4), v: adamwInput('v', 4) };
    expect(() => verifyAdamw('x', 4, after)).toThrow(/parameter is wrong/);
  });

  test('losses that drift from ours, or are missing', () => {
    const ours = Array.from({ length: 12 }, (_, i) => 6 - i / 10);
    expect(verifyLosses(ours, ours)).toMatch(/12 losses/);
    const drifted = ours.map((loss, i) => (i === 7 ? loss + 2 * LOSS_TOLERANCE : loss));
    expect(() => verifyLosses(drifted, ours)).toThrow(/the loss of step 8/);
    expect(() => verifyLosses([Number.NaN, ...ours.slice(1)], ours)).toThrow(/the loss of step 1/);
    expect(() => verifyLosses([], ours)).toThrow(/0 losses/);
    expect(() => verifyLosses(ours, [])).toThrow(/0/);
  });
});
