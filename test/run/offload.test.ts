/** Runs with AdamW's moments in host memory: their checkpoints are those of runs without, to the byte. */
import { cpSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readRunConfig } from '../../src/run/folder.js';
import { resumeRun } from '../../src/run/resume.js';
import { startRun } from '../../src/run/start.js';
import { useDevice } from '../support/gpu.js';
import { ranksOfOneProcess } from '../support/ranks.js';
import { bytesOf, expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';

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

  test.each([
    ['data', 'f32'],
    ['data', '8bit'],
    ['diloco', 'f32'],
  ])('has them on several ranks too, parallel %s, moments in %s', async (parallel, momentType) => {
    const onRanks = (count: number, body: (options: object) => Promise<unknown>) =>
      Promise.all(ranksOfOneProcess(count).map(ranks => body({ device: context.device, ranks })));
    const names = ['none', 'moments'].map(offload => `ranks-${parallel}-${momentType}-${offload}`) as [string, string];
    const expectSame = () => {
      const [plain, offloaded] = names.map(lastCheckpoint) as [string, string];
      expectSameCheckpoint(offloaded, plain);
      if (parallel === 'data') return;
      const [outer, expected] = [offloaded, plain].map(folder => bytesOf(folder, 'outer.safetensors'));
      expect(outer!.equals(expected!)).toBe(true);
    };
    const more = { parallel, momentType, syncEvery: 2, evalEveryTokens: 1536, checkpointEveryTokens: 768 };
    for (const [i, offload] of ['none', 'moments'].entries()) {
      const config = configOf(names[i]!, { ...more, offload });
      await onRanks(2, options => startRun(config, options));
    }
    expectSame();
    const whole = run('whole-on-two');
    cpSync(lastCheckpoint(names[0]), whole, { recursive: true });
    for (const count of [2, 4, 1]) {
      for (const name of names) {
        rmSync(lastCheckpoint(name), { recursive: true });
        await onRanks(count, options => resumeRun(run(name), options));
      }
      expectSame();
      if (count === 2) expectSameCheckpoint(lastCheckpoint(names[1]), whole);
    }
    rmSync(whole, { recursive: true });
  });

  test('is refused where its health is to be seen, before anything is trained', async () => {
    const health = { every: 1, limits: undefined } as never;
    await expect(
      startRun(configOf('health', { offload: 'moments' }), { device: context.device, health }),
    ).rejects.toThrow(/--audit sees moments on the device/);
    expect(existsSync(join(run('health'), 'config.json'))).toBe(false);
  });
});
