/** Nothing grows with the steps of a run: memory, handles, buffers, the time that a step takes. */
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { useDevice } from '../support/gpu.js';
import { useSmallRuns } from '../support/small-runs.js';
import { isLong } from './processes.js';

const context = useDevice({});
const { start } = useSmallRuns(context);

const STEPS = isLong ? 200_000 : 20_000;
const LOOKS = 200;

interface Look {
  readonly heapBytes: number;
  readonly residentBytes: number;
  readonly handles: number;
  readonly deviceBytes: number;
  readonly stagingBuffers: number;
  readonly milliseconds: number;
}

/** The slope of the least-squares line through evenly spaced values, per step, and half its 99% interval. */
function slopeOf(values: readonly number[], spacing: number): { readonly slope: number; readonly half: number } {
  const n = values.length;
  const meanX = (spacing * (n - 1)) / 2;
  const meanY = values.reduce((sum, y) => sum + y, 0) / n;
  const xs = values.map((_, i) => spacing * i - meanX);
  const sxx = xs.reduce((sum, x) => sum + x * x, 0);
  const slope = xs.reduce((sum, x, i) => sum + x * (values[i]! - meanY), 0) / sxx;
  const rest = xs.reduce((sum, x, i) => sum + (values[i]! - meanY - slope * x) ** 2, 0);
  const T_99 = 2.6; // of Student's t with a hundred degrees of freedom
  return { slope, half: T_99 * Math.sqrt(rest / (n - 2) / sxx) };
}

test(`${STEPS} steps, with evaluations and checkpoints`, async () => {
  const looks: Look[] = [];
  const every = STEPS / LOOKS;
  let since = performance.now();
  await start(
    'long',
    {
      tokens: STEPS * 32,
      contextLength: 16,
      batchTokens: 32,
      evalEveryTokens: (STEPS / 10) * 32,
      evalTokens: 50,
      checkpointEveryTokens: (STEPS / 10) * 32,
      keepCheckpoints: 2,
      maxSkippedSteps: 0,
    },
    {
      onStep({ step }) {
        if (step % every !== 0) return;
        const now = performance.now();
        globalThis.gc!();
        looks.push({
          heapBytes: process.memoryUsage().heapUsed,
          residentBytes: process.memoryUsage().rss,
          handles: readdirSync('/proc/self/fd').length,
          deviceBytes: context.device.memory.bytes,
          stagingBuffers: context.device.counters.buffers,
          milliseconds: (now - since) / every,
        });
        since = performance.now();
      },
    },
  );
  expect(looks).toHaveLength(LOOKS);
  // the first half is for caches, the compiler of the host's code, and the collector's first large steps
  const later = looks.slice(LOOKS / 2);
  const of = (key: keyof Look) => later.map(look => look[key]);
  for (const exact of ['handles', 'deviceBytes', 'stagingBuffers'] as const)
    expect(Math.max(...of(exact)) - Math.min(...of(exact)), exact).toBeLessThanOrEqual(exact === 'handles' ? 3 : 0);
  const heap = slopeOf(of('heapBytes'), every);
  const memory = slopeOf(of('residentBytes'), every);
  const time = slopeOf(of('milliseconds'), every);
  const mean = of('milliseconds').reduce((sum, ms) => sum + ms, 0) / later.length;
  process.stdout.write(
    `heap ${heap.slope.toFixed(0)} ± ${heap.half.toFixed(0)}, resident memory ${memory.slope.toFixed(0)} ± ` +
      `${memory.half.toFixed(0)} bytes a step; ` +
      `${mean.toFixed(2)} ms a step, ${((100 * time.slope * STEPS) / mean).toFixed(1)} ± ` +
      `${((100 * time.half * STEPS) / mean).toFixed(1)}% over the run\n`,
  );
  // one small object a step that stays is 100 bytes and more; the compiler's own data are some 10 bytes a step
  expect(heap.slope - heap.half, 'bytes of heap a step, at least').toBeLessThan(100);
  // a native wrapper that stays is larger; allocators keep a few hundred bytes a step in pieces that are too small
  expect(memory.slope - memory.half, 'bytes of resident memory a step, at least').toBeLessThan(1000);
  expect(((time.slope - time.half) * STEPS) / mean, 'growth of the time of a step, at least').toBeLessThan(0.1);
});
