import { expect, test } from 'vitest';
import type { StepResult } from '../../bench/result.js';
import { adamwBar, ceilingsOf, scalingBars, stepBars, summarise } from '../../bench/summary.js';
import { ceilings, samplesOf } from './samples.js';

test('rates come from the median and are shares of the ceiling of their kind', () => {
  const samples = [
    ...ceilings,
    samplesOf([40, 50, 60], { flops: 2e9, gpu: [45] }),
    samplesOf([10], { name: 'adamw 4', kind: 'adamw', bytes: 4e7, rate: 'bytes' }),
  ];
  expect(ceilingsOf(samples)).toEqual({ flops: 100, bytes: 5 });
  const [fma, , matmul, adamw] = summarise(samples);
  expect(fma!.share).toBeUndefined();
  expect(matmul).toMatchObject({
    unit: 'GFLOP/s',
    rate: 40,
    share: 0.4,
    milliseconds: 50,
    gpuMilliseconds: 45,
    iqr: 0.2,
  });
  expect(adamw).toMatchObject({ unit: 'GB/s', rate: 4, share: 0.8 });
  expect(adamw).not.toHaveProperty('gpuMilliseconds');
  expect(adamwBar(samples)).toMatchObject([{ reached: true, measured: '0.80' }]);
  expect(adamwBar(ceilings)).toEqual([]);
});

test('without ceilings there is no share', () => {
  expect(ceilingsOf([samplesOf([1])])).toBeUndefined();
  expect(summarise([samplesOf([1])])[0]).not.toHaveProperty('share');
});

test('a step is set against the best product of its run, and its host time against the whole', () => {
  const products = [samplesOf([10], { name: 'a', flops: 1e9 }), samplesOf([5], { name: 'b', flops: 1e9 })];
  const step = samplesOf([40], { name: 'step', kind: 'step', flops: 4.8e9 });
  const result = { name: 'step', kind: 'step', hostShare: 0.2 } as StepResult;
  expect(stepBars([...products, step], [result])).toMatchObject([
    { measured: '0.60', reached: true },
    { measured: '0.2', reached: false },
  ]);
  expect(stepBars([step], [result])).toHaveLength(1);
});

test('scaling compares time per FLOP and activations per token', () => {
  const width = (flops: number, ms: number) => samplesOf([ms], { kind: 'scaling width', flops });
  expect(scalingBars([width(1e9, 10), width(4e9, 50)], [])).toMatchObject([{ measured: '1.25', reached: true }]);
  expect(scalingBars([width(1e9, 10), width(4e9, 80)], [])).toMatchObject([{ measured: '2', reached: false }]);
  const context = (flops: number, ms: number) => samplesOf([ms], { kind: 'scaling context', flops });
  const step = (tokens: number, activationBytes: number) =>
    ({ kind: 'scaling context', tokens, activationBytes }) as StepResult;
  const bars = scalingBars([context(1, 1), context(2, 2)], [step(128, 1280), step(256, 5120)]);
  expect(bars.map(({ reached }) => reached)).toEqual([true, false]);
  expect(scalingBars([], [])).toEqual([]);
});
