/** Runs with tuned kernels: what they record, and that tuning never changes the bits of a run that goes on. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { byKind, type KernelRequest, type VariantChoices, VariantTable } from '../../src/kernels/variants.js';
import { parseConfig } from '../../src/run/config.js';
import type { TrainObserver } from '../../src/run/context.js';
import { readRunConfig } from '../../src/run/folder.js';
import { resumeRun } from '../../src/run/resume.js';
import { startRun } from '../../src/run/start.js';
import { trainerSettings } from '../../src/run/step-shape.js';
import { dryStep } from '../../src/train/dry-step.js';
import { readCache, writeCache } from '../../src/tune/cache.js';
import { candidatesFor, sameVariant } from '../../src/tune/candidates.js';
import type { Variant } from '../../src/tune/kind.js';
import { runCommand } from '../support/command.js';
import { useDevice } from '../support/gpu.js';
import { sampleText } from '../support/text.js';

const context = useDevice();
const root = mkdtempSync(join(tmpdir(), 'babelgrad-tuned-'));
const data = join(root, 'data');
const run = (name: string) => join(root, 'runs', name);
const cache = (name: string) => join(root, 'cache', name);

beforeAll(async () => {
  const file = join(root, 'en.txt');
  writeFileSync(file, sampleText(0, 4000));
  const tokenizer = await trainTokenizer([file], { vocabSize: 280, field: 'text', out: join(root, 'tokenizer.json') });
  await tokenizeFiles([file], { tokenizer, field: 'text', out: data, heldOutTokens: 200 });
});
afterAll(() => rmSync(root, { recursive: true }));

const fields = (name: string) => ({
  out: run(name),
  sources: [{ name: 'en', path: data }],
  ...{ hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 },
  ...{ tokens: 6 * 128, contextLength: 32, batchTokens: 128, learningRate: 1e-2 },
  ...{ evalEveryTokens: 128, evalTokens: 200, checkpointEveryTokens: 3 * 128 },
});
const start = (name: string, more: Record<string, unknown>, options: Parameters<typeof startRun>[1] = {}) =>
  startRun(parseConfig({ ...fields(name), ...more }, 'the test'), { device: context.device, ...options });

const weightsOf = (name: string) => readFileSync(join(listCheckpoints(run(name)).at(-1)!.folder, 'model.safetensors'));

/** Says that the furthest candidate won wherever there is a choice: other bits than the shipped variants'. */
function pretendTuned(name: string, requests: Iterable<KernelRequest>): void {
  const { adapter } = context.device;
  const tuned = [...requests].map(request => {
    const all = candidatesFor(adapter, request).filter(({ refused }) => refused === undefined);
    const winner = all.at(-1)!.variant;
    const outcomes = [{ variant: winner, state: 'timed' as const, milliseconds: 1 }];
    return { request, winner, shipped: all[0]!.variant, outcomes };
  });
  writeCache(cache(name), adapter, tuned);
}

const variantsOf = (kernels: VariantChoices): Record<string, Variant> =>
  Object.assign({}, ...Object.values(byKind(kind => kernels[kind])));

function requestsOf(name: string): Map<string, KernelRequest> {
  const resolved = readRunConfig(run(name));
  const shape = { model: resolved.model, settings: trainerSettings(resolved) };
  return new Map(dryStep(context.device.adapter, shape).variants.requests);
}

describe('a run', () => {
  test('records the variants of step and evaluation: the shipped ones by default and with deterministic', async () => {
    await start('default', {});
    const requests = requestsOf('default');
    pretendTuned('furthest', requests.values());
    await start('deterministic', { deterministic: true }, { tune: { cache: cache('furthest') } });
    for (const name of ['default', 'deterministic']) {
      const recorded = readRunConfig(run(name)).kernels!;
      expect(recorded).toMatchObject({ adapter: context.device.adapter.name, driver: context.device.adapter.driver });
      const variants = variantsOf(recorded);
      expect(Object.keys(variants).sort()).toEqual([...requests.keys()].sort());
      for (const [key, variant] of Object.entries(variants)) {
        expect(variant).toEqual(candidatesFor(context.device.adapter, requests.get(key)!)[0]!.variant);
      }
    }
    expect(weightsOf('deterministic').equals(weightsOf('default'))).toBe(true);
  });

  test('takes what was tuned before, records it, and tunes nothing when it is all there', async () => {
    let tuned = 0;
    const observer: TrainObserver = { onTune: () => tuned++ };
    await start('tuned', {}, { tune: { cache: cache('furthest') }, observer });
    expect(tuned).toBe(0);
    const winners = readCache(cache('furthest'), context.device.adapter).entries;
    for (const [key, variant] of Object.entries(variantsOf(readRunConfig(run('tuned')).kernels!))) {
      expect(sameVariant(variant, winners.get(key)!.winner), key).toBe(true);
    }
    expect(weightsOf('tuned').equals(weightsOf('default')), 'other variants, other bits').toBe(false);
  });

  test('that is evaluated in smaller batches than it is trained in tunes nothing for them, and records them', async () => {
    let tuned = 0;
    const observer: TrainObserver = { onTune: () => tuned++ };
    await start('few', { evalTokens: 32 }, { tune: { cache: cache('furthest') }, observer });
    expect(tuned).toBe(0);
    const [few, all] = ['few', 'tuned'].map(name => Object.keys(variantsOf(readRunConfig(run(name)).kernels!)));
    const others = few!.filter(key => !all!.includes(key));
    expect(others.length).toBeGreaterThan(0);
    for (const key of others) expect(key).toMatch(/M32 /);
    expect(weightsOf('few').equals(weightsOf('tuned')), 'training is the same').toBe(true);
  });

  test('goes on with what it was started with, whatever has been tuned since, to the same bits', async () => {
    const abort = new AbortController();
    const stopAt = (step: number): TrainObserver => ({ onStep: line => line.step === step && abort.abort() });
    const options = { tune: { cache: cache('furthest') }, observer: stopAt(2), signal: abort.signal };
    const stopped = await start('resumed', {}, options);
    expect(stopped.status).toBe('interrupted');
    rmSync(cache('furthest'), { recursive: true });
    const notes: string[] = [];
    const observer = { onNote: (text: string) => notes.push(text) };
    await resumeRun(run('resumed'), { device: context.device, observer });
    expect(notes).toEqual([]);
    expect(weightsOf('resumed').equals(weightsOf('tuned'))).toBe(true);
  });

  /** The run's configuration with something of its kernels changed. */
  function edit(name: string, change: (kernels: Record<string, unknown>) => Record<string, unknown> | undefined): void {
    const path = join(run(name), 'config.json');
    const config = JSON.parse(readFileSync(path, 'utf8')) as { kernels: Record<string, unknown> };
    writeFileSync(path, JSON.stringify({ ...config, kernels: change(config.kernels) }));
  }
  const resumedNotes = async (name: string) => {
    const notes: string[] = [];
    await resumeRun(run(name), { device: context.device, observer: { onNote: text => notes.push(text) } });
    return notes;
  };

  test('of before variants were recorded goes on with the shipped ones', async () => {
    const abort = new AbortController();
    const observer: TrainObserver = { onStep: line => line.step === 2 && abort.abort() };
    await start('old', {}, { observer, signal: abort.signal });
    edit('old', () => undefined);
    expect(await resumedNotes('old')).toEqual([]);
    expect(weightsOf('old').equals(weightsOf('default'))).toBe(true);
  });

  test('on another adapter says so, and replaces what that cannot run', async () => {
    const abort = new AbortController();
    const observer: TrainObserver = { onStep: line => line.step === 2 && abort.abort() };
    await start('moved', {}, { observer, signal: abort.signal });
    const elsewhere = { kernel: 'subgroup', lanes: 128, groups: 1, columns: 1, unroll: 1 };
    edit('moved', ({ matmul, ...variants }) => {
      const [first] = Object.keys(matmul as object);
      return { ...variants, adapter: 'another GPU', matmul: { ...(matmul as object), [first!]: elsewhere } };
    });
    const [differs, replaced] = await resumedNotes('moved');
    expect(differs).toMatch(/started on another GPU \(.*\) and goes on on .*: its bits will differ/);
    expect(replaced).toMatch(
      /^1 of the run's kernel variants cannot run on .*: '\w\w .*' \(subgroup lanes=128 .*: subgroups of 128 lanes, /,
    );
    expect(weightsOf('moved').equals(weightsOf('default'))).toBe(true);
  });

  test('tunes what is missing before it starts, and keeps it', async () => {
    const progress: number[] = [];
    const observer: TrainObserver = { onTune: (seconds, most) => progress.push(seconds / most) };
    await start('first', { tuneSeconds: 4 }, { tune: { cache: cache('new') }, observer });
    expect(progress.length).toBeGreaterThan(0);
    expect(Math.max(...progress)).toBeLessThanOrEqual(1);
    const { entries } = readCache(cache('new'), context.device.adapter);
    const recorded = variantsOf(readRunConfig(run('first')).kernels!);
    for (const [key, { winner }] of entries) expect(sameVariant(recorded[key], winner), key).toBe(true);
    await start('untuned', { tuneSeconds: 0 }, { tune: { cache: cache('none') } });
    expect(readdirSync(join(root, 'cache'))).not.toContain('none');
    expect(weightsOf('untuned').equals(weightsOf('default'))).toBe(true);
  });
});

describe('tune', () => {
  test('--show explains what was chosen, as text and as JSON', async () => {
    const { adapter } = context.device;
    const show = (...more: string[]) =>
      runCommand(root, ['tune', '--show', '--adapter', adapter.name, ...more], {
        XDG_CACHE_HOME: join(root, 'cache', 'xdg'),
      });
    const nothing = await show();
    expect(nothing.stderr).toMatch(/nothing that still holds has been tuned for/);
    expect(nothing.status).toBe(2);
    const table = new VariantTable(adapter);
    const types = { a: 'f32', b: 'f32', c: 'f32' } as const;
    table.of('matmul', { form: 'NT', M: 64, N: 64, K: 64, types });
    const [request] = table.requests.values();
    const all = candidatesFor(adapter, request!);
    writeCache(join(root, 'cache', 'xdg', 'babelgrad'), adapter, [
      {
        request: request!,
        winner: all[1]!.variant,
        shipped: all[0]!.variant,
        outcomes: [
          { variant: all[1]!.variant, state: 'timed', milliseconds: 1 },
          { variant: all[0]!.variant, state: 'timed', milliseconds: 1.5 },
          { variant: all[2]!.variant, state: 'wrong', reason: 'c: 7 of 9 beyond the bound' },
        ],
      },
    ]);
    const text = await show();
    expect(text.stdout).toMatch(/NT f32 f32 f32 M64 N64 K64 .* 1\.000 .* 1\.500 .* 50% .* 1 wrong/);
    expect(text.stdout).toMatch(/1 wrong: c: 7 of 9 beyond the bound/);
    expect(text.stdout).toMatch(/1\.5 ms as shipped, 1\.0 ms as tuned/);
    const { stdout, status } = await show('--json');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ adapter: adapter.name, entries: [{ request: { key: request!.key } }] });
  });
});
