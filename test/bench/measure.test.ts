import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { measure, median, quantile } from '../../bench/measure.js';
import { runBenchmark, WORKS } from '../../bench/run.js';
import type { Work } from '../../bench/work.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();

test('quantiles interpolate', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(quantile([1, 2, 3, 4, 5], 0.25)).toBe(2);
  expect(quantile([7], 0.75)).toBe(7);
});

test('works take turns, each is warmed up, and times are those of one time', async () => {
  const order: string[] = [];
  const work = (name: string, perRun: number): Work => ({
    name,
    flops: 1,
    perRun,
    async run() {
      if (order.at(-1) !== name) order.push(name);
      await setTimeout(20);
    },
    gpuTime: async () => 5,
    destroy() {},
  });
  const samples = await measure([work('a', 1), work('b', 2)], { rounds: 2, seconds: 0.001 });
  expect(order).toEqual(['a', 'b', 'a', 'b', 'a', 'b']);
  expect(samples.map(({ name, gpu }) => [name, gpu])).toEqual([
    ['a', [5, 5]],
    ['b', [5, 5]],
  ]);
  // a timer may be late, never more than a millisecond early
  expect(Math.min(...samples[0]!.wall)).toBeGreaterThanOrEqual(19);
  expect(Math.min(...samples[1]!.wall)).toBeGreaterThanOrEqual(9.5);
});

test('work that fails ends the measurement with its error', async () => {
  let runs = 0;
  const failing: Work = {
    name: 'fails',
    flops: 1,
    perRun: 1,
    run: async () => {
      if (++runs > 1) throw new Error('the device was lost');
    },
    gpuTime: async () => 0,
    destroy() {},
  };
  await expect(measure([failing], { rounds: 1, seconds: 0.001 })).rejects.toThrow('the device was lost');
});

test('the benchmark measures every work, and its ratio is that of its samples', async () => {
  const { device } = context;
  const before = device.memory.bytes;
  const { samples, step, bestMatmul, stepOverMatmul, machine } = await runBenchmark(device, {
    rounds: 1,
    seconds: 0.001,
  });
  expect(samples).toHaveLength(WORKS);
  for (const { wall, gpu } of samples) for (const time of [...wall, ...gpu]) expect(time).toBeGreaterThan(0);
  expect(step.hostShare).toBeGreaterThan(0);
  expect(step.hostShare).toBeLessThan(1);
  const { flops, wall } = samples.find(({ name }) => name === bestMatmul.name)!;
  expect(stepOverMatmul).toBeCloseTo(step.gflops / (flops / median(wall) / 1e6), 10);
  // 2 · 512^3 and 1024^3; 6 · parameters and 6 · layers · hidden · T for attention, a token
  expect(samples.map(sample => sample.flops)).toContain(2 * 1024 ** 3);
  expect(samples.at(-1)!.flops).toBe((6 * step.parameters + 6 * 4 * 128 * 128) * 1024);
  expect(machine.adapter.name).toBe(device.adapter.name);
  // readback buffers stay with the device
  expect(device.memory.bytes - before).toBeLessThan(1e6);
});
