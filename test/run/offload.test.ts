/** Runs with AdamW's moments in host memory: their checkpoints are those of runs without, to the byte. */
import { describe, expect, test } from 'vitest';
import { readRunConfig } from '../../src/run/folder.js';
import { resumeRun, startRun } from '../../src/run/run.js';
import { useDevice } from '../support/gpu.js';
import { expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { run, start, configOf, lastCheckpoint } = useSmallRuns(context);

describe('a run with moments in host memory', () => {
  test.each(['f32', '8bit'])('has the checkpoints of one without, stopped or not: moments in %s', async momentType => {
    const [plain, whole, stopped] = ['plain', 'whole', 'stopped'].map(name => `${name}-${momentType}`);
    await start(plain!, { momentType });
    await start(whole!, { momentType, offload: 'moments' });
    expect(readRunConfig(run(whole!)).offload).toBe('moments');
    expectSameCheckpoint(lastCheckpoint(whole!), lastCheckpoint(plain!));
    const abort = new AbortController();
    const observer = { onStep: ({ step }: { step: number }) => step === 5 && abort.abort() };
    const { step } = await start(stopped!, { momentType, offload: 'moments' }, observer, abort.signal);
    expect(step).toBeLessThan(12);
    await resumeRun(run(stopped!), { device: context.device });
    expectSameCheckpoint(lastCheckpoint(stopped!), lastCheckpoint(plain!));
  });

  test('is refused where its health is to be seen, before anything is trained', async () => {
    const health = { every: 1, limits: undefined } as never;
    await expect(
      startRun(configOf('health', { offload: 'moments' }), { device: context.device, health }),
    ).rejects.toThrow(/--audit sees moments on the device/);
  });
});
