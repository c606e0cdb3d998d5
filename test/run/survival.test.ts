/** What a run survives: an end before its first checkpoint, lines that cannot be written or read, a lost device. */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { UserError } from '../../src/errors.js';
import { Device } from '../../src/gpu/device.js';
import { readRun } from '../../src/report/runs.js';
import { dryRun } from '../../src/run/dry-run.js';
import { MetricsFile } from '../../src/run/metrics.js';
import { resumeRun } from '../../src/run/resume.js';
import { useDevice } from '../support/gpu.js';
import { bytesOf, expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { root, run, configOf, start, startAlone, lastCheckpoint } = useSmallRuns(context);
const metricsOf = (name: string) => join(run(name), 'metrics.jsonl');
const linesOf = (name: string) => readFileSync(metricsOf(name), 'utf8').split('\n').slice(0, -1);
/** What a run says of its steps and evaluations, but for its speed. */
const saidBy = (name: string) => {
  const { steps, evaluations } = readRun(run(name));
  return { steps: steps.map(({ tokensPerSecond, ...step }) => step), evaluations };
};

beforeAll(async () => {
  await start('whole');
});

describe('a run that ended before its first checkpoint', () => {
  const fallen = (name: string) => {
    cpSync(run('whole'), run(name), { recursive: true });
    rmSync(join(run(name), 'checkpoints'), { recursive: true });
    mkdirSync(join(run(name), 'checkpoints', 'step-00000000.1.partial'), { recursive: true });
    writeFileSync(metricsOf(name), `${linesOf('whole')[0]}\n`);
  };

  test('is started again by the same command, to the same bits', async () => {
    fallen('again');
    await start('again');
    expectSameCheckpoint(lastCheckpoint('again'), lastCheckpoint('whole'));
    expect(saidBy('again')).toEqual(saidBy('whole'));
  });

  test('is not resumed, and told how to go on', async () => {
    fallen('unbegun');
    await expect(resumeRun(run('unbegun'), { device: context.device })).rejects.toThrow(
      /has no checkpoint yet; the command that started it starts it again/,
    );
  });

  test('is kept where it has steps: its checkpoints were taken away', async () => {
    cpSync(run('whole'), run('robbed'), { recursive: true });
    rmSync(join(run('robbed'), 'checkpoints'), { recursive: true });
    await expect(start('robbed')).rejects.toThrow(/already holds a run/);
    expect(linesOf('robbed')).toEqual(linesOf('whole'));
  });
});

test('resumed from step 0, it evaluates that step once', async () => {
  const abort = new AbortController();
  abort.abort();
  expect(await start('at-once', {}, undefined, abort.signal)).toMatchObject({ step: 0, status: 'interrupted' });
  await resumeRun(run('at-once'), { device: context.device });
  expect(saidBy('at-once')).toEqual(saidBy('whole'));
  expectSameCheckpoint(lastCheckpoint('at-once'), lastCheckpoint('whole'));
});

describe('lines of metrics', () => {
  const damaged = (name: string, change: (text: string) => string) => {
    cpSync(run('whole'), run(name), { recursive: true });
    rmSync(lastCheckpoint(name), { recursive: true });
    writeFileSync(metricsOf(name), change(readFileSync(metricsOf(name), 'utf8')));
  };
  const resume = async (name: string, options: { dropBadLines?: boolean } = {}) => {
    const notes: string[] = [];
    const observer = { onNote: (note: string) => notes.push(note) };
    await resumeRun(run(name), { device: context.device, observer, ...options });
    return notes;
  };

  test('a last one that a crash cut off is left out, and said', async () => {
    damaged('cut', text => text.slice(0, -30));
    expect(await resume('cut')).toEqual([
      `the last line of '${metricsOf('cut')}' was cut off by a crash, and is left out`,
    ]);
    expect(saidBy('cut')).toEqual(saidBy('whole'));
  });

  test.each([
    ['no JSON', '{"kind":"st\u0000\u0000'],
    ['no metric', '[1]'],
    ['empty', ''],
  ])('one in the middle that is broken, %s, is named and left out on request', async (kind, line) => {
    const name = `broken-${kind}`;
    damaged(name, text => text.replace(/\n.*"step":3,.*\n/, `\n${line}\n`));
    const before = bytesOf(run(name), 'metrics.jsonl');
    const attempt = resume(name);
    await expect(attempt).rejects.toThrow(`metrics.jsonl' line 4 is not a metric; --drop-bad-lines leaves it out`);
    await attempt.catch(error => expect(error).toBeInstanceOf(UserError));
    expect(bytesOf(run(name), 'metrics.jsonl').equals(before)).toBe(true);
    expect(await resume(name, { dropBadLines: true })).toEqual([
      `line 4 of '${metricsOf(name)}' is not a metric, and is left out`,
    ]);
    const { steps, evaluations } = saidBy('whole');
    expect(saidBy(name)).toEqual({ steps: steps.filter(({ step }) => step !== 3), evaluations });
  });

  test('one that is broken after the checkpoint is written again like the others', async () => {
    damaged('broken-later', text => text.replace(/\n.*"step":10,.*\n/, '\nbroken\n'));
    expect(await resume('broken-later')).toEqual([]);
    expect(saidBy('broken-later')).toEqual(saidBy('whole'));
  });

  test('those that cannot be written wait in memory until they can', () => {
    const path = join(root, 'away', 'metrics.jsonl');
    const faults: string[] = [];
    const file = new MetricsFile<{ step: number }>(path, fault => faults.push(fault));
    file.append([{ step: 1 }]); // there is no such folder
    file.append([{ step: 2 }]);
    expect(faults).toEqual([expect.stringMatching(/cannot write '.*metrics.jsonl': .*kept in memory until/)]);
    expect(() => file.flush()).toThrow(/cannot write/);
    mkdirSync(join(root, 'away'));
    file.append([{ step: 3 }]);
    expect(readFileSync(path, 'utf8')).toBe('{"step":1}\n{"step":2}\n{"step":3}\n');
    file.flush();
    rmSync(join(root, 'away'), { recursive: true });
    file.append([{ step: 4 }]);
    expect(faults).toHaveLength(2);
  });
});

test('spikes are skipped, told and recorded, and a run that was stopped between them ends with the same bits', async () => {
  // every second norm or so is above nine tenths of their mean
  const fields = { tokens: 40 * 128, evalEveryTokens: 128, spikeFactor: 0.9, maxSkippedSteps: 100 };
  const warnings: string[] = [];
  await start('spiky', fields, { onWarning: warning => warnings.push(warning) });
  const skipped = saidBy('spiky').steps.filter(step => step.skipped === 'spike');
  expect(skipped.length).toBeGreaterThan(3);
  expect(skipped[0]!.step).toBeGreaterThan(20);
  expect(warnings).toHaveLength(skipped.length);
  expect(warnings[0]).toMatch(
    /^step \d+ is skipped: its gradient norm of .* is a spike; more than 100 such steps in a row/,
  );
  const abort = new AbortController();
  await start('spiky-stopped', fields, { onStep: ({ step }) => step === 25 && abort.abort() }, abort.signal);
  await resumeRun(run('spiky-stopped'), { device: context.device });
  expectSameCheckpoint(lastCheckpoint('spiky-stopped'), lastCheckpoint('spiky'));
  expect(saidBy('spiky-stopped').steps).toEqual(saidBy('spiky').steps);
  await expect(start('spiky-ended', { ...fields, maxSkippedSteps: 0 })).rejects.toThrow(
    /the checkpoints in '.*' are good/,
  );
});

test('the latest checkpoints stay, and every so many-th for good', async () => {
  const stepsOf = (name: string) => listCheckpoints(run(name)).map(({ step }) => step);
  const fields = { checkpointEveryTokens: 128, keepCheckpoints: 2 };
  await start('latest', fields);
  expect(stepsOf('latest')).toEqual([11, 12]);
  const abort = new AbortController();
  await start(
    'kept',
    { ...fields, keepEvery: 5, evalEveryTokens: 128 },
    { onStep: ({ step }) => step === 7 && abort.abort() },
    abort.signal,
  );
  expect(stepsOf('kept')).toEqual([0, 5, 6, 7]);
  await resumeRun(run('kept'), { device: context.device });
  expect(stepsOf('kept')).toEqual([0, 5, 10, 11, 12]);
});

describe('a device that has no memory for the run', () => {
  afterEach(() => vi.restoreAllMocks());

  /** Lets the driver refuse buffers beyond so many bytes in all, by asking it for more than it gives. */
  const limitMemory = (mostBytes: number) => {
    const real = Device.of;
    vi.spyOn(Device, 'of').mockImplementation((handle, ...rest) => {
      const createBuffer = handle.createBuffer.bind(handle);
      let bytes = 0;
      handle.createBuffer = descriptor => {
        bytes += descriptor.size;
        return createBuffer(bytes > mostBytes ? { ...descriptor, size: 2 ** 30 } : descriptor);
      };
      return real(handle, ...rest);
    });
  };
  /** Only this driver refuses what it cannot give; others give addresses, and the system ends the process. */
  const refuses = () => context.device.adapter.name.includes('SwiftShader');
  const fields = { microBatch: 4, tokens: 4 * 128, contextLength: 128, batchTokens: 512 };
  /** What suffices for one micro-batch and not for another. */
  const between = async (small: number, large: number) => {
    const peakOf = async (microBatch: number) =>
      (await dryRun(configOf('planned', { ...fields, microBatch }))).memory.peak;
    return ((await peakOf(small)) + (await peakOf(large))) / 2;
  };

  test('says so, with sizes and what takes less, and the run can be started again', async () => {
    if (!refuses()) return;
    limitMemory(await between(2, 4));
    const attempt = startAlone('memory', fields);
    await expect(attempt).rejects.toThrow(
      /^'SwiftShader.*' is out of memory for the buffer '.+': all that were asked for take \d+ MiB; --micro-batch 2 takes \d+ MiB in place of \d+ MiB; --adapt takes what fits$/,
    );
    await attempt.catch(error => expect(error).toBeInstanceOf(UserError));
    vi.restoreAllMocks();
    expect(await startAlone('memory', fields)).toMatchObject({ status: 'done' });
  });

  test('with --adapt takes smaller micro-batches of the same batch', async () => {
    if (!refuses()) return;
    limitMemory(await between(2, 4));
    const warnings: string[] = [];
    const observer = { onWarning: (warning: string) => warnings.push(warning) };
    const summary = await startAlone('adapted', fields, observer, { adapt: true });
    expect(warnings.map(warning => /--\S+ \S+/.exec(warning)?.[0])).toEqual(['--micro-batch 2']);
    expect(summary).toMatchObject({ status: 'done', tokens: 512 });
    expect(readRun(run('adapted')).config).toMatchObject({ microBatch: 2 });
    vi.restoreAllMocks();
    await start('memory-small', { ...fields, microBatch: 2 });
    expectSameCheckpoint(lastCheckpoint('adapted'), lastCheckpoint('memory-small'));
  });
});

describe('a device that is lost', () => {
  afterEach(() => vi.restoreAllMocks());

  /** Lets the runs' own devices be destroyed from outside, as a driver does that was reset. */
  const captureDevices = () => {
    const handles: GPUDevice[] = [];
    const real = Device.of;
    vi.spyOn(Device, 'of').mockImplementation((handle, ...rest) => {
      handles.push(handle);
      return real(handle, ...rest);
    });
    return handles;
  };

  test('is replaced, and the run ends with the bits of one that never lost it', async () => {
    const handles = captureDevices();
    const warnings: string[] = [];
    const summary = await startAlone(
      'lost',
      { evalEveryTokens: 128 },
      {
        onStep: ({ step }) => {
          if ((step === 6 && handles.length === 1) || (step === 9 && handles.length === 2)) handles.at(-1)!.destroy();
        },
        onWarning: warning => warnings.push(warning),
      },
    );
    expect(summary.status).toBe('done');
    expect(handles).toHaveLength(3);
    expect(warnings).toEqual([
      expect.stringMatching(
        /^the device was lost: .*; going on from the checkpoint of step 4 \(1 of at most 3 times\)$/,
      ),
      expect.stringMatching(/going on from the checkpoint of step 8 \(1 of at most 3 times\)$/),
    ]);
    expectSameCheckpoint(lastCheckpoint('lost'), lastCheckpoint('whole'));
    expect(saidBy('lost').steps).toEqual(saidBy('whole').steps);
    expect(saidBy('lost').evaluations.map(({ step }) => step)).toEqual(Array.from({ length: 13 }, (_, i) => i));
  });

  test('ends the run when it is lost again and again, with the way to go on', async () => {
    const handles = captureDevices();
    const observer = {
      onStep: ({ step }: { step: number }) => {
        if (step >= 6) handles.at(-1)!.destroy();
      },
    };
    await expect(startAlone('lost-for-good', {}, observer)).rejects.toThrow(
      `the checkpoint of step 4 is whole; go on with 'babelgrad resume ${run('lost-for-good')}'`,
    );
    expect(handles).toHaveLength(4);
    expect(existsSync(join(run('lost-for-good'), 'claim'))).toBe(false);
    await resumeRun(run('lost-for-good'));
    expectSameCheckpoint(lastCheckpoint('lost-for-good'), lastCheckpoint('whole'));
  });

  /** Lets the queue of the newest of the runs' devices never finish again, which its driver tells nobody. */
  const stopAnswers = () => {
    const handles: GPUDevice[] = [];
    const hung: GPUDevice[] = [];
    const real = Device.of;
    vi.spyOn(Device, 'of').mockImplementation((handle, ...rest) => {
      const createBuffer = handle.createBuffer.bind(handle);
      handle.createBuffer = descriptor => {
        const buffer = createBuffer(descriptor);
        const mapAsync = buffer.mapAsync.bind(buffer);
        buffer.mapAsync = (...range) => (hung.includes(handle) ? new Promise<undefined>(() => {}) : mapAsync(...range));
        return buffer;
      };
      const destroy = handle.destroy.bind(handle);
      handle.destroy = () => {
        expect(hung).not.toContain(handle); // a driver would wait in it
        return destroy();
      };
      handles.push(handle);
      return real(handle, ...rest);
    });
    return { handles, hang: () => hung.push(handles.at(-1)!) };
  };

  test('where it only answers nothing, is taken for lost after a time, and the run ends with the same bits', async () => {
    const { handles, hang } = stopAnswers();
    const warnings: string[] = [];
    const observer = {
      onStep: ({ step }: { step: number }) => {
        if (step === 6 && handles.length === 1) hang();
      },
      onWarning: (warning: string) => warnings.push(warning),
    };
    expect(await startAlone('hung', { evalEveryTokens: 128 }, observer, { hangSeconds: 1 })).toMatchObject({
      status: 'done',
    });
    expect(handles).toHaveLength(2);
    expect(warnings).toEqual([
      expect.stringMatching(
        /^the device hangs: it finished nothing in \d+ s; going on from the checkpoint of step 4 \(1 of at most 3 times\)$/,
      ),
    ]);
    expectSameCheckpoint(lastCheckpoint('hung'), lastCheckpoint('whole'));
    expect(saidBy('hung').steps).toEqual(saidBy('whole').steps);
  });

  test('where it answers nothing, is waited for with 0', async () => {
    const { hang } = stopAnswers();
    const hasHung = new Promise<void>(resolve => {
      const onStep = ({ step }: { step: number }) => {
        if (step !== 6) return;
        hang();
        setTimeout(resolve, 3000);
      };
      const attempt = startAlone('waiting', { evalEveryTokens: 128 }, { onStep }, { hangSeconds: 0 });
      attempt.finally(() => expect.unreachable('it went on'));
    });
    const seconds = vi.spyOn(globalThis, 'setInterval');
    await hasHung;
    expect(listCheckpoints(run('waiting')).at(-1)!.step).toBe(4);
    expect(seconds.mock.calls.filter(([, delay]) => delay! < 1000)).toEqual([]);
  });

  test('before anything was saved, ends the run', async () => {
    const handles = captureDevices();
    const attempt = startAlone('lost-early', {}, { onStart: () => handles[0]!.destroy() });
    await expect(attempt).rejects.toThrow(/^the device was lost: /);
    expect(handles).toHaveLength(1);
  });
});
