import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { measure, quantile, spreadOf } from '../../bench/measure.js';
import { median } from '../../src/median.js';
import { sampleWork } from './samples.js';

test('quantiles interpolate', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(quantile([1, 2, 3, 4, 5], 0.25)).toBe(2);
  expect(quantile([7], 0.75)).toBe(7);
  expect(spreadOf([1, 2, 3, 4, 5])).toEqual({ median: 3, low: 2, high: 4, iqr: 2 / 3 });
});

test('works take turns, each is warmed up, and times are those of one time', async () => {
  const order: string[] = [];
  const work = (name: string, perRun: number) => ({
    ...sampleWork({ name }),
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

test('an adapter without timestamps has wall times only', async () => {
  const work = { ...sampleWork({ name: 'a' }), perRun: 1, run: () => setTimeout(1), destroy() {} };
  const [samples] = await measure([work], { rounds: 2, seconds: 0.001 });
  expect(samples!.wall.length).toBeGreaterThan(0);
  expect(samples!.gpu).toEqual([]);
});

test('work that fails ends the measurement with its error', async () => {
  let runs = 0;
  const failing = {
    ...sampleWork({ name: 'fails' }),
    perRun: 1,
    run: async () => {
      if (++runs > 1) throw new Error('the device was lost');
    },
    destroy() {},
  };
  await expect(measure([failing], { rounds: 1, seconds: 0.001 })).rejects.toThrow('the device was lost');
});
