/** The shipped kernels on the real compilers of GPUs: all compile, and none keeps registers in memory. */
import { expect } from 'vitest';
import { type CompiledKernels, compileKernels } from '../../src/compile/compile.js';
import { spilling } from '../../src/compile/table.js';
import { traitsOf } from '../../src/model/families.js';
import type { RunFields } from '../../src/run/config.js';
import { testWithCompilers } from '../support/gpu-compilers.js';

const GPUS = ['navi21', 'navi31', 'gfx1201', 'tu102', 'ga102', 'm1'];
const HEAD_SIZES = [32, 64, 80, 96, 128, 256];
/**
 * NVIDIA's compiler prints a shader after each of its passes, a megabyte or more of it, which takes several times as
 * long as compiling. So it says of attention here what it makes of it, and of the rest in copies.gpu.ts; of these
 * shapes it says whether it takes them.
 */
const printsMuch = (gpu: string) => ['tu102', 'ga102'].includes(gpu);

const BATCH = { contextLength: 128, batchTokens: 256, microBatch: 2, vocabSize: 512 };
const whole: RunFields = { ...BATCH, preset: 'small', numHiddenLayers: 1 };
const coded: RunFields = { ...whole, momentType: '8bit' };
const stored: RunFields = { ...coded, weightType: 'bf16' };
/** One layer with four heads of a size, and as many key and value heads or half of them. */
const heads = (size: number, keyValueHeads: number, precision: 'f32' | 'f16'): RunFields => ({
  ...BATCH,
  hiddenSize: 4 * size,
  intermediateSize: 4 * size,
  numHiddenLayers: 1,
  numAttentionHeads: 4,
  numKeyValueHeads: keyValueHeads,
  precision,
});
/** The same as a Gemma 2. */
const capped = (size: number, precision: 'f32' | 'f16'): RunFields => ({
  ...{ ...heads(size, 2, precision), ...traitsOf('gemma2'), slidingWindow: 48, slidingWindowPattern: 2 },
  ...{ numHiddenLayers: 2, attnLogitSoftcapping: 50, finalLogitSoftcapping: 30 },
});
const everyHeads = (['f32', 'f16'] as const).flatMap(precision => [
  ...HEAD_SIZES.flatMap(size => [4, 2].map(count => heads(size, count, precision))),
  { ...heads(128, 2, precision), slidingWindow: 48 },
  ...[128, 256].map(size => capped(size, precision)),
]);

function expectCompiled({ kernels }: CompiledKernels): void {
  expect(kernels.filter(({ failure }) => failure !== undefined)).toEqual([]);
}

/** A kernel that a driver says nothing of would pass unseen. */
function expectNoSpills({ kernels }: CompiledKernels): void {
  expect(kernels.filter(({ statistics }) => statistics?.spills === undefined)).toEqual([]);
  expect(kernels.filter(spilling)).toEqual([]);
}

testWithCompilers.concurrent.each(GPUS)(
  '%s: all kernels of a training step, an evaluation and generation',
  async gpu => {
    const statistics = !printsMuch(gpu);
    const compiled = await compileKernels({ gpu, models: [whole, coded, stored], names: [], statistics });
    expect(compiled.adapter.kind).toBe('hardware');
    const labels = compiled.kernels.map(({ label }) => label).join(' ');
    for (const name of [
      'matmul',
      'attention_forward',
      'attention_backward',
      'adamw',
      'adamw_8bit',
      'cross_entropy',
      'cache_write',
    ]) {
      expect(labels).toContain(name);
    }
    expectCompiled(compiled);
    if (statistics) expectNoSpills(compiled);
  },
);

testWithCompilers.concurrent.each(GPUS)(
  '%s: attention at every head size, in a window, and with capped scores, in both precisions',
  async gpu => {
    const compiled = await compileKernels({ gpu, models: everyHeads, names: ['attention'] });
    // at the least, each of the four kernels in each size and precision
    expect(compiled.kernels.length).toBeGreaterThanOrEqual(4 * HEAD_SIZES.length * 2);
    expectCompiled(compiled);
    expectNoSpills(compiled);
  },
);
