/** Runs in f16 that keep their gradients in f16: what they take, how they go on, and when memory makes a run one. */
import { describe, expect, test } from 'vitest';
import { openDevice } from '../../src/gpu/open-device.js';
import { dryRun } from '../../src/run/dry-run.js';
import { readRunConfig } from '../../src/run/folder.js';
import { resumeRun } from '../../src/run/resume.js';
import { startRun } from '../../src/run/start.js';
import { useDevice } from '../support/gpu.js';
import { expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { run, start, configOf, lastCheckpoint } = useSmallRuns(context);
const more = { precision: 'f16', gradientStorage: 'f16' };
const hasHalves = () => context.device.adapter.features.includes('shader-f16');

describe('a run with gradients in f16', () => {
  test('goes on to the same bits where it was stopped', async () => {
    if (!hasHalves()) return;
    await start('whole', more);
    expect(readRunConfig(run('whole')).gradientStorage).toBe('f16');
    const abort = new AbortController();
    const observer = { onStep: ({ step }: { step: number }) => step === 5 && abort.abort() };
    const { step } = await start('stopped', more, observer, abort.signal);
    expect(step).toBeLessThan(12);
    await resumeRun(run('stopped'), { device: context.device });
    expectSameCheckpoint(lastCheckpoint('stopped'), lastCheckpoint('whole'));
  });

  test('takes what a dry run tells: half of what gradients in f32 take, but for norms', async () => {
    if (!hasHalves()) return;
    const { memory } = await dryRun(configOf('told', more));
    const plain = await dryRun(configOf('told', { precision: 'f16' }));
    expect(memory.gradients / plain.memory.gradients).toBeGreaterThan(0.5);
    expect(memory.gradients / plain.memory.gradients).toBeLessThan(0.54);
    expect(plain.memory.peak - memory.peak).toBe(plain.memory.gradients - memory.gradients);
    const device = await openDevice();
    await startRun(configOf('told', more), { device });
    expect(Math.abs(memory.peak / device.memory.peakBytes - 1)).toBeLessThan(0.01);
    device.close();
  });

  test('is what memory makes of one in f16, after moments in 8 bits and before those in host memory', async () => {
    if (!hasHalves()) return;
    const least = { precision: 'f16', microBatch: 1, checkpointing: 'layer', momentType: '8bit' };
    const fitted = async (bytes: number, precision: string) => {
      const { run } = await dryRun(configOf('fitted', { precision, microBatch: 1, memory: `${bytes / 1e6}MB` }));
      return [run.momentType, run.gradientStorage, run.offload];
    };
    const peakOf = async (fields: object) => (await dryRun(configOf('fitted', { ...least, ...fields }))).memory.peak;
    const [coded, halved, offloaded] = [
      await peakOf({}),
      await peakOf({ gradientStorage: 'f16' }),
      await peakOf({ gradientStorage: 'f16', offload: 'moments' }),
    ];
    expect(await fitted(coded, 'f16')).toEqual(['8bit', 'f32', 'none']);
    expect(await fitted(halved, 'f16')).toEqual(['8bit', 'f16', 'none']);
    expect(await fitted(offloaded, 'f16')).toEqual(['8bit', 'f16', 'moments']);
    await expect(fitted(offloaded - 1, 'f16')).rejects.toThrow(
      /gradientStorage f16, offload moments\); use weightType bf16 with momentType 8bit, a shorter/,
    );
    await expect(fitted(offloaded - 1, 'f32')).rejects.toThrow(/momentType 8bit, offload moments/);
  });

  test('is refused where losses are not scaled', async () => {
    await expect(start('refused', { gradientStorage: 'f16' })).rejects.toThrow(
      /gradientStorage f16 does not go with precision f32, whose losses are not scaled/,
    );
  });
});
