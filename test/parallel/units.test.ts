/** What ranks are made of, without an MPI: who started them, what each trains, what they agree on, projections. */
import { describe, expect, test } from 'vitest';
import { roundToBfloats, widenBfloats } from '../../src/bfloat.js';
import { lossOfSums, textLoss, textSums } from '../../src/eval/text-loss.js';
import type { Device } from '../../src/gpu/device.js';
import { launchOf } from '../../src/parallel/launch.js';
import { ALONE, type RankGroup } from '../../src/parallel/ranks.js';
import { adapterOfRank, agree, compareWeights, sharedMicroBatch, shareOf } from '../../src/run/parallel.js';
import type { ResolvedRun } from '../../src/run/resolved.js';
import type { Data } from '../../src/run/run-data.js';
import { exchangeSeconds, mostRanks, stepTime } from '../../src/scaling/ranks.js';

describe('a launch', () => {
  test('is known by what each launcher says', () => {
    expect(launchOf({ OMPI_COMM_WORLD_SIZE: '4' })).toEqual({ launcher: 'Open MPI', size: 4 });
    expect(launchOf({ PMI_SIZE: '2' })).toEqual({ launcher: 'MPICH', size: 2 });
    expect(launchOf({ SLURM_STEP_NUM_TASKS: '8' })).toEqual({ launcher: 'srun', size: 8 });
  });

  test('of one process is none, and so is a batch script before it starts its tasks', () => {
    expect(launchOf({})).toBeUndefined();
    expect(launchOf({ OMPI_COMM_WORLD_SIZE: '1', SLURM_NTASKS: '4', SLURM_JOB_ID: '7' })).toBeUndefined();
  });
});

describe('a share', () => {
  test('is a part of the sequences and their weights, and all shares are the batch', () => {
    const sequences = Uint32Array.from({ length: 24 }, (_, i) => i);
    const weights = Float32Array.from({ length: 18 }, (_, i) => i / 2);
    const shares = [0, 1, 2].map(rank => shareOf({ sequences, weights }, { ...ALONE, rank, size: 3 }));
    expect(shares.flatMap(share => [...share.sequences])).toEqual([...sequences]);
    expect(shares.flatMap(share => [...share.weights!])).toEqual([...weights]);
    expect(shares.map(({ sequences: { length } }) => length)).toEqual([8, 8, 8]);
  });

  test('of an evaluation is every so many-th batch, and all give the loss of the whole text', async () => {
    const evaluator = {
      shape: { B: 2, T: 3 },
      of: async (batch: Uint32Array) =>
        Float32Array.from({ length: (batch.length / 4) * 3 }, (_, i) => batch[i + Math.floor(i / 3) + 1]! / 7),
    };
    const text = { ids: Uint32Array.from({ length: 50 }, (_, i) => i), bytes: 90, markIds: new Set([7, 30]) };
    const whole = await textLoss(evaluator, text);
    for (const size of [1, 2, 3, 20]) {
      const shares = [];
      for (let rank = 0; rank < size; rank++) shares.push(await textSums(evaluator, text, { rank, size }));
      const { loss, bitsPerByte, tokens } = lossOfSums(text, shares);
      expect(tokens).toBe(49);
      expect(loss).toBeCloseTo(whole.loss, 12);
      expect(bitsPerByte).toBeCloseTo(whole.bitsPerByte, 12);
    }
  });

  test('takes the largest micro-batch that divides it', () => {
    expect(sharedMicroBatch(64, 32, 1)).toBe(32);
    expect(sharedMicroBatch(64, 32, 4)).toBe(16);
    expect(sharedMicroBatch(96, 10, 2)).toBe(8);
    expect(() => sharedMicroBatch(64, 32, 3)).toThrow(/3 ranks cannot share the 64 sequences/);
  });
});

describe('bf16 that travels', () => {
  test('rounds to the nearest, and keeps what is not finite', () => {
    const nan = new Float32Array(Uint32Array.of(0x7fffffff, 0xff800001, 0x7f800001).buffer);
    const values = Float32Array.of(1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -0, Infinity, -Infinity, 3.4e38, ...nan);
    const bits = new Uint16Array(values.length);
    roundToBfloats(values, bits);
    const wide = new Float32Array(values.length);
    widenBfloats(bits, wide);
    expect([...wide]).toEqual([1, 1, 1 + 2 ** -6, -0, Infinity, -Infinity, Infinity, NaN, NaN, NaN]);
  });
});

/** Ranks of which the others say what `others` makes of this one's words. */
const groupOf = (hosts: string[], others: (mine: never) => unknown[]): RankGroup => ({
  ...ALONE,
  size: hosts.length,
  hosts,
  gather: async value => [value, ...(others(value as never) as (typeof value)[])],
});

describe('ranks', () => {
  const run = { seed: 1, kernels: undefined, adapter: null } as unknown as ResolvedRun;
  const data = { sources: [{ tokens: { folder: 'en', index: { tokenizer: 'a' } } }], heldOut: new Map() };
  const device = (kind: string) => {
    const adapter = { name: 'GPU', driver: '1', kind };
    return { adapter, choice: { adapters: [adapter] } } as unknown as Device;
  };
  const agreeing = (kind: string, hosts: string[], change: (mine: { identity: Record<string, string> }) => unknown) =>
    agree(
      groupOf(hosts, mine => [change(structuredClone(mine))]),
      run,
      data as unknown as Data,
      device(kind),
    );
  const other = (what: string) => (mine: { identity: Record<string, string> }) => {
    expect(Object.keys(mine.identity)).toContain(what);
    return { ...mine, identity: { ...mine.identity, [what]: 'other' } };
  };

  test.each(['version of babelgrad', 'adapter', "field 'seed'", "data set 'en'"])('agree on the %s', async what => {
    await expect(agreeing('bundled software', ['a', 'b'], other(what))).rejects.toThrow(
      new RegExp(`rank 1 on 'b' has another ${what} \\(other\\) than rank 0`),
    );
  });

  test('need the same MPI', async () => {
    const change = (mine: object) => ({ ...mine, library: 'Open MPI v5' });
    await expect(agreeing('hardware', ['a', 'b'], change)).rejects.toThrow(/rank 1 on 'b' has Open MPI v5, and rank 0/);
  });

  test('may share a software adapter, and a GPU only with those of another machine', async () => {
    const same = (mine: object) => mine;
    await expect(agreeing('bundled software', ['a', 'a'], same)).resolves.toBeUndefined();
    await expect(agreeing('hardware', ['a', 'b'], same)).resolves.toBeUndefined();
    // a job whose other GPUs are closed to it sees its own as the first
    const closed = (mine: object) => ({ ...mine, place: '#1 /dev/nvidia1' });
    await expect(agreeing('hardware', ['a', 'a'], closed)).resolves.toBeUndefined();
    await expect(agreeing('hardware', ['a', 'a'], same)).rejects.toThrow(
      /ranks 0 and 1 on 'a' would both train on 'GPU'/,
    );
  });

  test('compare their weights, and name the one that holds others', async () => {
    const read = async () => Float32Array.of(1, 2, 3);
    const parameters = [{ name: 'a' }, { name: 'b' }];
    const group = (last: string) => groupOf(['a', 'b', 'c'], mine => [mine, last || mine]);
    await expect(compareWeights(group(''), { read }, parameters)).resolves.toBeUndefined();
    await expect(compareWeights(group('other'), { read }, parameters)).rejects.toThrow(
      /weights of rank 2 on 'c' are no longer those/,
    );
  });

  test('take what was asked for', async () => {
    expect(await adapterOfRank({ ...ALONE, size: 2 }, 'llvmpipe')).toBe('llvmpipe');
    expect(await adapterOfRank(ALONE, undefined)).toBeUndefined();
  });
});

describe('a projection', () => {
  const cluster = { parameters: 1e9, batchTokens: 2 ** 20, contextLength: 2048, flopsPerSecond: 1e14 };
  const over = (gigabits: number) => ({ ...cluster, linkBytesPerSecond: (gigabits * 1e9) / 8 });

  test('of one rank is its compute alone', () => {
    const { seconds, exposedSeconds, efficiency } = stepTime(over(10), 1, { valueBytes: 4, every: 1 });
    expect(seconds).toBeCloseTo((6 * 1e9 * 2 ** 20) / 1e14, 9);
    expect(exposedSeconds).toBe(0);
    expect(efficiency).toBe(1);
  });

  test('sends 2 (R-1)/R of the values, and hides behind the backward pass what fits there', () => {
    const { sentBytes } = stepTime(over(10), 4, { valueBytes: 4, every: 1 });
    expect(sentBytes).toBeCloseTo(1.5 * 4e9, 0);
    // over 10 Gb/s these 6 GB take 4.8 s, reading, adding and writing 1.8 s, and the backward pass is 10.5 s long
    expect(exchangeSeconds(over(10), 4, 4)).toBeCloseTo(4.8 + 1.8, 1);
    const hidden = stepTime(over(10), 4, { valueBytes: 4, every: 1 });
    expect(hidden.exposedSeconds).toBeLessThan(0.05);
    const shown = stepTime(over(1), 4, { valueBytes: 4, every: 1 });
    expect(shown.exposedSeconds).toBeCloseTo(48 + 1.8 - (2 / 3) * shown.computeSeconds, 1);
  });

  test('of rare exchanges is nearly efficient where the link is slow', () => {
    const rare = stepTime(over(1), 16, { valueBytes: 4, every: 50 });
    const always = stepTime(over(1), 16, { valueBytes: 4, every: 1 });
    expect(rare.efficiency).toBeGreaterThan(0.7);
    expect(always.efficiency).toBeLessThan(0.1);
    expect(mostRanks(over(1))).toBe(512);
  });
});
