/** Runs whose matrices are kept in bf16: resumed, continued, and refused with what they cannot go with. */
import { describe, expect, test } from 'vitest';
import { readRunConfig } from '../../src/run/folder.js';
import { resumeRun } from '../../src/run/resume.js';
import { useDevice } from '../support/gpu.js';
import { bytesOf, expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { run, start, continueFrom, lastCheckpoint } = useSmallRuns(context);
const more = { weightType: 'bf16', momentType: '8bit' };

describe('a run with weights in bf16', () => {
  test('goes on to the same bits where it was stopped', async () => {
    await start('whole', more);
    expect(readRunConfig(run('whole')).weightType).toBe('bf16');
    const abort = new AbortController();
    const observer = { onStep: ({ step }: { step: number }) => step === 5 && abort.abort() };
    const { step } = await start('stopped', { ...more, evalEveryTokens: 128 }, observer, abort.signal);
    expect(step).toBe(5);
    await resumeRun(run('stopped'), { device: context.device });
    expectSameCheckpoint(lastCheckpoint('stopped'), lastCheckpoint('whole'));
    await start('plain', { momentType: '8bit' });
    const [a, b] = ['whole', 'plain'].map(name => bytesOf(lastCheckpoint(name), 'model.safetensors'));
    expect(a!.equals(b!), 'another run than with f32').toBe(false);
  });

  test('is continued from one in f32, and the other way round', async () => {
    await start('f32', { momentType: '8bit' });
    const plain = await continueFrom(lastCheckpoint('f32'), 'plain-cpt', { momentType: '8bit' });
    const rounded = await continueFrom(lastCheckpoint('f32'), 'rounded-cpt', more);
    const widened = await continueFrom(lastCheckpoint('whole'), 'widened-cpt', { momentType: '8bit' });
    // 2^-8 of every weight moves these losses by thousandths
    const lossOf = ({ heldOut }: typeof plain) => Object.values(heldOut)[0]!.loss;
    for (const other of [rounded, widened]) expect(Math.abs(lossOf(other) / lossOf(plain) - 1)).toBeLessThan(0.02);
  });

  test.each([
    ['moments in f32', { weightType: 'bf16' }, /weightType bf16 does not go with momentType f32 \(use 8bit\)/],
    ['an average', { ...more, emaDecay: 0.9 }, /weightType bf16 does not go with emaDecay/],
    ['diloco', { ...more, parallel: 'diloco' }, /weightType bf16 does not go with parallel diloco/],
  ])('is refused with %s', async (_, fields, message) => {
    await expect(start('refused', fields)).rejects.toThrow(message);
  });
});
