/**
 * The kernels of a training step of a real size but attention, on the compilers of GPUs: none spills, and of those that
 * compute little none takes twice as long, by its instructions, as a copy of what it is given. Apple's compiler prints
 * no loops to count.
 */
import { expect } from 'vitest';
import { compileKernels } from '../../src/compile/compile.js';
import { spilling } from '../../src/compile/table.js';
import { testWithCompilers } from '../support/gpu-compilers.js';

const GPUS = ['navi21', 'navi31', 'gfx1201', 'tu102', 'ga102'];
const LITTLE = ['adamw', 'cast', 'cross_entropy', 'embedding', 'gradient_norm', 'rmsnorm', 'rope', 'sum', 'swiglu'];
/** A workgroup adds up some kilobytes: to start it takes longer. */
const SMALL = ['gradient_norm', 'sum'];

testWithCompilers.concurrent.each(GPUS)('%s: no spills, and nothing much slower than a copy', async gpu => {
  const models = [
    { preset: '137M' },
    { preset: '137M', precision: 'f16' },
    { preset: '137M', momentType: '8bit', weightType: 'bf16' },
    { preset: '137M', precision: 'f16', gradientStorage: 'f16' },
    { preset: '137M', precision: 'f16', gradientStorage: 'f16', momentType: '8bit' },
  ] as const;
  const { kernels } = await compileKernels({ gpu, models, names: [...LITTLE, 'matmul'] });
  expect(kernels.filter(({ statistics }) => statistics?.spills === undefined)).toEqual([]);
  expect(kernels.filter(spilling)).toEqual([]);
  const found = kernels.filter(({ label, work }) => work.flops === undefined && !SMALL.includes(label));
  expect(new Set(found.map(({ label }) => label)).size).toBeGreaterThanOrEqual(9);
  const shares = found.map(({ label, roofline }) => ({ label, of: roofline?.of, share: roofline?.share ?? 0 }));
  expect(shares.filter(({ of, share }) => of !== 'copy' || share < 0.5)).toEqual([]);
});
