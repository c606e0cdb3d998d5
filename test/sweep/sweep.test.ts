/** A small sweep through the command line: what it leaves, how it goes on, and what it refuses. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/run/config.js';
import { DivergedError } from '../../src/run/context.js';
import { startOrResumeClaimed } from '../../src/run/start.js';
import type { Execute } from '../../src/study/execute.js';
import { planSweep } from '../../src/sweep/plan.js';
import { runSweep } from '../../src/sweep/sweep.js';
import { runCommand, tokenizeSample } from '../support/command.js';
import { useDevice } from '../support/gpu.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-sweep-'));
afterAll(() => rmSync(root, { recursive: true }));
beforeAll(() => tokenizeSample(root), 60_000);

const model = ['--hidden-size', '32', '--intermediate-size', '48', '--num-hidden-layers', '1'];
const batch = ['--num-attention-heads', '2', '--context-length', '32', '--batch-tokens', '128'];
const run = [...model, ...batch, '--source', 'en=en', '--learning-rate', '1e-2'];
const tune = (...more: string[]) => runCommand(root, ['tune', 'lr', ...run, ...more]);

test('three rates, one of which diverges: a table, a page, figures, and a proposal', async () => {
  const sweep = ['--out', 'swept', '--tokens', '5_12', '--rates', '3', '--factor', '1000', '--seed', '0'];
  const { status, stdout, stderr } = await tune(...sweep, '--json');
  expect(status, stderr).toBe(0);
  const result = JSON.parse(stdout);
  expect(result).toMatchObject({ folder: 'swept', status: 'done', language: 'en', tokens: 512 });
  expect(result.rates.map(({ rate }: { rate: number }) => rate)).toEqual([1e-5, 1e-2, 10]);
  const states = result.rates.map(({ runs }: { runs: { state: string }[] }) => runs.map(({ state }) => state));
  expect(states).toEqual([['done'], ['done'], ['diverged']]);
  expect(result.minimum).toEqual({ rate: 1e-2, loss: expect.any(Number) });
  expect(result.rates[1].loss).toBeLessThan(result.rates[0].loss);
  expect(stderr).toContain('take it with: --learning-rate 1e-2');
  expect(result.files).toEqual(['report.html', 'loss.svg', 'loss.png'].map(name => join('swept', name)));
  for (const file of result.files) expect(statSync(join(root, file)).size, file).toBeGreaterThan(1000);
  const page = readFileSync(join(root, 'swept', 'report.html'), 'utf8');
  expect(page).toContain('diverged');
  expect(page).toContain(`babelgrad tune lr ${[...run, ...sweep].join(' ')}`); // every flag, so that it can be repeated
  expect(page).not.toMatch(/<(script|link|img)[^>]+(src|href)=/);

  const written = (name: string) => statSync(join(root, 'swept', 'runs', name, 'metrics.jsonl')).mtimeMs;
  const before = readdirSync(join(root, 'swept', 'runs')).map(written);
  const again = await tune(...sweep, '--json');
  expect(JSON.parse(again.stdout)).toEqual(result); // nothing is run twice, what diverged neither
  expect(readdirSync(join(root, 'swept', 'runs')).map(written)).toEqual(before);
});

test('what is wrong is said before anything is written, with status 2', async () => {
  mkdirSync(join(root, 'other'));
  writeFileSync(join(root, 'other', 'notes.txt'), '');
  const faults: [string[], RegExp][] = [
    [['tune', 'lr', ...run, '--out', 'x', '--learning-rat', '1'], /unknown option '--learning-rat'/],
    [['tune', 'lr', ...run, '--out', 'x', '--keep-best', 'en'], /unknown option '--keep-best'/],
    [['tune', 'lr', ...model, ...batch, '--out', 'x'], /a run needs data/],
    [['tune', 'lr', ...run], /a run needs a folder/],
    ...['1', '1.0001', '1e200'].map((factor): [string[], RegExp] => [
      ['tune', 'lr', ...run, '--out', 'x', '--factor', factor],
      /--factor [\d.e+]+ is no distance between rates that tells which is best: it must be from 1.1, .* to 1000/,
    ]),
    [['tune', 'lr', ...run, '--out', 'tokenizer.json'], /cannot write .*'tokenizer.json' is not a folder/],
    [['tune', 'lr', ...run, '--out', 'tokenizer.json/x'], /cannot write .*'tokenizer.json' is not a folder/],
    [['tune', 'lr', ...run, '--out', 'x', '--rates', '2'], /at least 3/],
    [['tune', 'lr', ...run, '--out', 'x', '--tokens', '10'], /--tokens 10 is less than one batch of 128; raise it/],
    [['tune', 'lr', ...run, '--out', 'other'], /'other' holds something else than a sweep/],
    [['tune', 'lr', ...run, '--out', 'swept', '--tokens', '1024'], /'swept' holds the sweep of a run with other/],
  ];
  for (const [command, message] of faults) {
    const { status, stderr } = await runCommand(root, command);
    expect(stderr).toMatch(message);
    expect(status, stderr).toBe(2);
  }
  expect(existsSync(join(root, 'x'))).toBe(false);
  expect(readdirSync(join(root, 'other'))).toEqual(['notes.txt']);
});

const context = useDevice();

/** Trains as the child process of a command does, which only a build has. */
const inThisProcess: Execute = ({ folder, config, from }, { signal, onProgress }) =>
  startOrResumeClaimed(
    { ...config, out: folder },
    { signal, from, device: context.device, observer: { onStep: line => onProgress?.({ ...line, steps: 20 }) } },
  );

const plan = (folder: string, more: { readonly language?: string; readonly from?: string } = {}) => {
  const fields = { sources: [{ name: 'en', path: join(root, 'en') }], learningRate: 1e-2, batchTokens: 128 };
  const shape = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2, contextLength: 32 };
  const config = parseConfig({ ...fields, ...shape, out: join(root, 'unused'), tokens: 20_480, seed: 3 });
  return planSweep(config, { folder: join(root, folder), tokens: 2560, factor: 4, ...more });
};

describe('a sweep that is interrupted', () => {
  const weights = (folder: string, name: string) =>
    readFileSync(join(root, folder, 'runs', name, 'checkpoints', 'step-00000020', 'model.safetensors'));

  test('goes on with the run at hand, to the same bits', async () => {
    const options = { mostRates: 2, seeds: 1, execute: inThisProcess };
    const abort = new AbortController();
    const started: string[] = [];
    const observer = {
      onRunStart: (name: string) => void started.push(name),
      onProgress: () => started.length === 2 && abort.abort(),
    };
    const stopped = await runSweep(await plan('stopped'), { ...options, observer, signal: abort.signal });
    expect(stopped).toMatchObject({ status: 'interrupted', rates: [{ rate: 1e-2 }] });
    const went = await runSweep(await plan('stopped'), options);
    const whole = await runSweep(await plan('whole'), options);
    expect(went).toEqual(whole);
    expect(whole.rates.map(({ rate }) => rate)).toEqual([2.5e-3, 1e-2]);
    for (const { runs } of whole.rates) {
      const { name } = runs[0]!;
      expect(weights('stopped', name).equals(weights('whole', name)), name).toBe(true);
    }
  });

  test('seeds are added to the runs that are there, and one that fails is tried again', async () => {
    const ran: string[] = [];
    const execute: Execute = (task, options) => {
      ran.push(task.config.name!);
      expect(task.config.seed).toBe(Number(task.config.name!.split('-').at(-1)));
      if (task.config.learningRate === 4e-2) return Promise.reject(new Error('the driver crashed'));
      if (task.config.learningRate === 2.5e-3) return Promise.reject(new DivergedError('step 3: the loss is NaN'));
      return inThisProcess(task, options);
    };
    const first = await runSweep(await plan('grown'), { mostRates: 3, seeds: 1, execute });
    expect(first.rates.map(({ runs }) => runs[0]!.state)).toEqual(['diverged', 'done', 'failed']);
    expect(first.rates[2]!.runs[0]!.error).toBe('the driver crashed');
    ran.length = 0;
    const { rates } = await runSweep(await plan('grown'), { mostRates: 3, seeds: 2, execute });
    expect(ran).toEqual(['lr-0.01-seed-4', 'lr-0.04-seed-3']);
    expect(rates[1]!.losses).toHaveLength(2);
    expect(rates[1]!.losses[0]).not.toBe(rates[1]!.losses[1]);
    expect(rates[1]!.loss).toBeCloseTo((rates[1]!.losses[0]! + rates[1]!.losses[1]!) / 2, 12);
  });
});

test('a language that is not evaluated, and a model that is not there, are refused', async () => {
  await expect(plan('x', { language: 'fr' })).rejects.toThrow(/no held-out set of 'fr'.*choose one of en/);
  await expect(plan('x', { from: 'nowhere' })).rejects.toThrow(/nowhere/);
  expect(existsSync(join(root, 'x'))).toBe(false);
});

test('a run is made short: shares stay, tokens that are frozen shrink with it, nothing ends it early', async () => {
  const sources = [{ name: 'en', path: join(root, 'en') }];
  const shape = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2, contextLength: 32 };
  const groups = [
    { match: ['*norm*'], from: 5120 },
    { match: ['*mlp*'], from: '40%' },
  ];
  const config = parseConfig({
    ...{ ...shape, sources, out: 'unused', batchTokens: 128, tokensPerParameter: 2, warmup: 0.1 },
    ...{ parameterGroups: groups, keepBest: 'en', stopAfter: 1, probeEveryTokens: 1280, evalEveryTokens: 128 },
  });
  const { short, runTokens, rate } = await planSweep(config, { folder: join(root, 'made-short'), factor: 2 });
  expect(short.run.steps).toBe(100); // the tenth would be fewer
  expect(runTokens).toBeGreaterThan(12_800);
  expect(short.run).toMatchObject({ evaluations: 1, checkpoints: 1, schedule: { warmup: 0.1, learningRate: rate } });
  const [norms, mlp] = short.run.parameterGroups!;
  expect(norms!.frozenSteps).toBe(Math.round(((5120 / 128) * 12_800) / runTokens));
  expect(mlp!.frozenSteps).toBe(40);
  for (const field of ['keepBest', 'stopAfter', 'probes']) expect(short.run).not.toHaveProperty(field);
});
