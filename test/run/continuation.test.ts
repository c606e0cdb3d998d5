/** How CPT runs go on with their source: freezing, schedules in phases, kept moments; each stopped and resumed. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.js';
import { floatTensor, writeSafetensors } from '../../src/checkpoint/safetensors-write.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { OutputFile } from '../../src/durable.js';
import { UserError } from '../../src/errors.js';
import { decodeMoments } from '../../src/optim/moment-codes.js';
import { readRun } from '../../src/report/runs.js';
import { parseConfig } from '../../src/run/config.js';
import type { TrainObserver } from '../../src/run/context.js';
import { dryRun } from '../../src/run/dry-run.js';
import { HEALTH_LIMITS } from '../../src/run/health.js';
import { resumeRun } from '../../src/run/resume.js';
import { startRun } from '../../src/run/start.js';
import { useDevice } from '../support/gpu.js';
import { sampleText } from '../support/text.js';

const context = useDevice();
const root = mkdtempSync(join(tmpdir(), 'babelgrad-continuation-'));
const run = (name: string) => join(root, name);
const BATCH = 128;
const model = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 };
const precisions = ['f32', 'f16'] as const;
const hasHalves = () => context.device.adapter.features.includes('shader-f16');

const config = (name: string, more: Record<string, unknown>) =>
  parseConfig(
    {
      out: run(name),
      sources: [{ name: 'en', path: run('data') }],
      tokens: 10 * BATCH,
      contextLength: 32,
      batchTokens: BATCH,
      learningRate: 1e-2,
      evalEveryTokens: BATCH,
      checkpointEveryTokens: BATCH,
      keepCheckpoints: 100,
      ...more,
    },
    'the test',
  );
const start = (name: string, more: Record<string, unknown> = {}, observer?: TrainObserver, signal?: AbortSignal) =>
  startRun(config(name, { ...model, ...more }), { device: context.device, observer, signal });
const cpt = (name: string, from: string, more: Record<string, unknown>, observer?: TrainObserver) =>
  startRun(config(name, more), { device: context.device, from, observer });

beforeAll(async () => {
  const text = join(root, 'en.txt');
  writeFileSync(text, sampleText(0, 6000));
  const tokenizer = await trainTokenizer([text], { vocabSize: 300, field: 'text', out: join(root, 'tokenizer.json') });
  await tokenizeFiles([text], { tokenizer, field: 'text', out: run('data'), heldOutTokens: 100 });
  await start('source', { schedule: 'infinite', decay: 0, tieWordEmbeddings: false });
  if (hasHalves()) {
    await start('source-f16', { schedule: 'infinite', decay: 0, tieWordEmbeddings: false, precision: 'f16' });
  }
});
afterAll(() => rmSync(root, { recursive: true }));

const checkpointAt = (name: string, step: number) =>
  listCheckpoints(run(name)).find(found => found.step === step)!.folder;
const bytesOf = (folder: string, file: string) => readFileSync(join(folder, file));
const sameState = (a: string, b: string) => {
  for (const file of ['model.safetensors', 'optimizer.safetensors']) {
    expect(bytesOf(a, file).equals(bytesOf(b, file)), `${file} of ${a}`).toBe(true);
  }
};
const tensorsOf = (folder: string, file: string): Map<string, Float32Array> => {
  const open = SafetensorsFile.open(join(folder, file));
  const tensors = new Map(open.names.map(name => [name, open.read(name, open.shape(name))]));
  open.close();
  return tensors;
};
const isTable = (name: string) => /embed_tokens|lm_head/.test(name);

/** Stops a run at several steps, each time resumed, and expects the state of one that went through. */
async function expectResumes(name: string, from: string, more: Record<string, unknown>, stops: readonly number[]) {
  for (const at of stops) {
    const abort = new AbortController();
    const stopped = `${name}-${at}`;
    await startRun(config(stopped, more), {
      device: context.device,
      from,
      signal: abort.signal,
      observer: { onStep: ({ step }) => step === at && abort.abort() },
    });
    expect(listCheckpoints(run(stopped)).at(-1)!.step).toBe(at);
    await resumeRun(run(stopped), { device: context.device });
    sameState(checkpointAt(stopped, 10), checkpointAt(name, 10));
  }
}

describe.each(precisions)('a frozen body, in %s', precision => {
  const more = { freezeBodyTokens: 4 * BATCH, precision };

  test('keeps its bits and moments until the boundary, and is trained from then on', async () => {
    if (precision === 'f16' && !hasHalves()) return;
    const name = `frozen-${precision}`;
    await cpt(name, run('source'), more);
    expect(readRun(run(name)).config).toMatchObject({ freezeBodySteps: 4 });
    const weights = [0, 4, 5].map(step => tensorsOf(checkpointAt(name, step), 'model.safetensors'));
    for (const [tensor, first] of weights[0]!) {
      const kept = weights[1]!.get(tensor)!.every((value, i) => value === first[i]);
      expect(kept, tensor).toBe(!isTable(tensor));
      const moved = weights[2]!.get(tensor)!.some((value, i) => value !== weights[1]!.get(tensor)![i]);
      expect(moved, tensor).toBe(true);
    }
    const moments = tensorsOf(checkpointAt(name, 4), 'optimizer.safetensors');
    for (const [tensor, values] of moments) {
      if (tensor === 'loss_scaling') continue;
      expect(
        values.every(value => value === 0),
        tensor,
      ).toBe(!isTable(tensor));
    }
  });

  test('is stopped and resumed before, at and after the boundary to the same bits', async () => {
    if (precision === 'f16' && !hasHalves()) return;
    await expectResumes(`frozen-${precision}`, run('source'), more, [2, 4, 6]);
  });
});

test("a body's first update is as large as any first update: its bias corrections count its own steps", async () => {
  // AdamW's first step moves every weight by the learning rate, whatever the gradient (without decay and eps)
  const settings = {
    freezeBodyTokens: 4 * BATCH,
    schedule: 'constant',
    warmup: 0,
    weightDecay: 0,
    eps: 1e-20,
    beta2: 0.999,
  };
  await cpt('first-update', run('source'), settings);
  const name = 'model.layers.0.mlp.down_proj.weight';
  const [before, after] = [4, 5].map(
    step => tensorsOf(checkpointAt('first-update', step), 'model.safetensors').get(name)!,
  );
  after!.forEach((value, i) => {
    // rounding of weights below 1 and of a few operations of AdamW
    expect(Math.abs(Math.abs(value - before![i]!) - 1e-2)).toBeLessThan(2 ** -23 + 1e-2 * 2 ** -18);
  });
});

test('with health watched, frozen weights are not said to move too little', async () => {
  const warnings: string[] = [];
  await startRun(config('watched', { freezeBodyTokens: 4 * BATCH, tokens: 5 * BATCH, warmup: 0 }), {
    device: context.device,
    from: run('source'),
    observer: { onWarning: warning => warnings.push(warning) },
    health: { every: 1, limits: { ...HEALTH_LIMITS, maxUpdateToWeight: 100, maxZeros: 1 } },
  });
  expect(warnings.filter(warning => warning.includes('update to weight'))).toEqual([]);
});

describe('an infinite schedule', () => {
  const more = { schedule: 'infinite', warmup: 0.2, cooldown: 0.3, decay: 0.3, constantLearningRateRatio: 0.4 };

  test('has its phases, and is stopped and resumed in each to the same bits', async () => {
    await cpt('infinite', run('source'), more);
    const rates = readRun(run('infinite')).steps.map(({ learningRate }) => learningRate);
    const third = 0.25 ** (1 / 3); // from 0.4 to 0.1 of the peak in three steps
    const expected = [5, 10, 8.5, 5.5, 4, 4, 4, 4 * third, 4 * third ** 2, 1].map(rate => rate / 1000);
    rates.forEach((rate, i) => {
      expect(rate).toBeCloseTo(expected[i]!, 12);
    });
    await expectResumes('infinite', run('source'), more, [1, 4, 6, 8]);
  });

  test('a branch of its constant phase anneals from there, with its moments', async () => {
    const from = checkpointAt('source', 8);
    await cpt('branch', from, { schedule: 'anneal', learningRate: undefined });
    const { config: resolved, steps } = readRun(run('branch'));
    // the source's constant rate is half of its peak of 0.01
    expect(resolved).toMatchObject({ optimizerState: 'keep', source: { learningRate: 5e-3, updates: 8 } });
    expect(steps[0]!.learningRate).toBeCloseTo(5e-3 * 0.1 ** 0.1, 12);
    expect(steps.at(-1)!.learningRate).toBeCloseTo(5e-4, 12);
    const state = JSON.parse(readFileSync(join(checkpointAt('branch', 10), 'training.json'), 'utf8')) as object;
    expect(state).toMatchObject({ step: 10, updates: 18, learningRate: steps.at(-1)!.learningRate });
    await expectResumes('branch', from, { schedule: 'anneal', learningRate: undefined }, [3]);
  });
});

describe.each(precisions)('kept moments, in %s', precision => {
  const source = precision === 'f32' ? 'source' : 'source-f16';

  test('go on where the source was: with its data and rate, to the bits of the source itself', async () => {
    if (precision === 'f16' && !hasHalves()) return;
    // both at the constant rate from step 3 on; the branch is given the batches of the source's steps 5 to 10 by
    // leaving out its first four, which a run's sampler, put forward in its first checkpoint, does
    const more = { schedule: 'constant', warmup: 0, learningRate: 5e-3, optimizerState: 'keep', precision };
    const name = `kept-${precision}`;
    const abort = new AbortController();
    abort.abort();
    await startRun(config(name, { ...more, tokens: 6 * BATCH }), {
      device: context.device,
      from: checkpointAt(source, 4),
      signal: abort.signal,
    });
    sameState(checkpointAt(name, 0), checkpointAt(source, 4));
    const path = join(checkpointAt(name, 0), 'training.json');
    const state = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...state, mixture: { drawn: [16] } }));
    await resumeRun(run(name), { device: context.device, verify: false }); // the record was changed
    sameState(checkpointAt(name, 6), checkpointAt(source, 10));
  });

  test('are not those of a run that resets them, and are resumed to the same bits', async () => {
    if (precision === 'f16' && !hasHalves()) return;
    const keep = { optimizerState: 'keep', precision };
    await cpt(`keep-${precision}`, run(source), keep);
    await cpt(`reset-${precision}`, run(source), { precision });
    expect(readRun(run(`reset-${precision}`)).config).toMatchObject({ optimizerState: 'reset' });
    const [kept, reset] = ['keep', 'reset'].map(kind =>
      bytesOf(checkpointAt(`${kind}-${precision}`, 10), 'model.safetensors'),
    );
    expect(kept!.equals(reset!)).toBe(false);
    await expectResumes(`keep-${precision}`, run(source), keep, [5]);
  });
});

describe('moments in 8 bits', () => {
  const more = { momentType: '8bit', freezeBodyTokens: 2 * BATCH, optimizerState: 'keep' };
  const embedding = 'model.embed_tokens.weight';

  test('are taken over from a source that has them in f32, and resumed to the same bits', async () => {
    for (const precision of hasHalves() ? precisions : precisions.slice(0, 1)) {
      const source = precision === 'f32' ? 'source' : 'source-f16';
      const name = `coded-${precision}`;
      await cpt(name, run(source), { ...more, precision });
      await expectResumes(name, run(source), { ...more, precision }, [1, 5]);
      // rounded, not reset: before the first step they are the source's to half a part
      const file = SafetensorsFile.open(join(checkpointAt(name, 0), 'optimizer.safetensors'));
      const codes = file.readBytes(`${embedding}.codes`, [2400, 2, 4]);
      const maxima = file.read(`${embedding}.maxima`, [38, 2]);
      expect(file.names).not.toContain(`${embedding}.m`);
      file.close();
      const kept = tensorsOf(checkpointAt(source, 10), 'optimizer.safetensors').get(`${embedding}.m`)!;
      const { m } = decodeMoments({ codes, maxima }, kept.length);
      m.forEach((value, i) => {
        expect(Math.abs(value - kept[i]!)).toBeLessThanOrEqual((0.51 * 0.9 * maxima[2 * Math.floor(i / 256)]!) / 64);
      });
    }
  });

  test('are widened for a run that keeps them in f32', async () => {
    await cpt('widened', run('coded-f32'), { optimizerState: 'keep' });
    const file = SafetensorsFile.open(join(checkpointAt('coded-f32', 10), 'optimizer.safetensors'));
    const codes = file.readBytes(`${embedding}.codes`, [2400, 2, 4]);
    const maxima = file.read(`${embedding}.maxima`, [38, 2]);
    file.close();
    const widened = tensorsOf(checkpointAt('widened', 0), 'optimizer.safetensors');
    const { m, v } = decodeMoments({ codes, maxima }, 9600);
    expect([widened.get(`${embedding}.m`), widened.get(`${embedding}.v`)]).toEqual([m, v]);
  });

  test('that are damaged are refused before anything is written', async () => {
    const from = join(root, 'coded-broken');
    cpSync(checkpointAt('coded-f32', 10), from, { recursive: true });
    const path = join(from, 'optimizer.safetensors');
    const whole = readFileSync(path);
    const refused = async (change: (bytes: Buffer, header: Record<string, { data_offsets: number[] }>) => void) => {
      const bytes = Buffer.from(whole);
      const length = Number(bytes.readBigUInt64LE());
      const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, { data_offsets: number[] }>;
      change(bytes, header);
      const text = JSON.stringify(header).padEnd(length);
      bytes.write(text, 8);
      writeFileSync(path, bytes);
      const config = { ...more, momentType: 'f32' };
      const error = await startRun(configOf(config), { device: context.device, from, verify: false }).catch(e => e);
      expect(error).toBeInstanceOf(UserError);
      expect(existsSync(run('bad'))).toBe(false);
      return (error as Error).message;
    };
    const configOf = (fields: Record<string, unknown>) => config('bad', fields);
    const start = (bytes: Buffer, header: Record<string, { data_offsets: number[] }>, name: string) =>
      8 + Number(bytes.readBigUInt64LE()) + header[name]!.data_offsets[0]!;
    const negative = await refused((bytes, header) => {
      bytes.writeFloatLE(-1, start(bytes, header, `${embedding}.maxima`) + 4);
    });
    expect(negative).toContain(`'${embedding}.maxima' is -1 at [0, 1]; a maximum is no less than 0`);
    const notFinite = await refused((bytes, header) => {
      bytes.writeFloatLE(Number.NaN, start(bytes, header, `${embedding}.maxima`));
    });
    expect(notFinite).toContain('holds a value that is not finite');
    const shape = await refused((_, header) => {
      Object.assign(header[`${embedding}.codes`]!, { shape: [4800, 4] });
    });
    expect(shape).toContain(`'${embedding}.codes' has shape [4800, 4], and the model [2400, 2, 4]`);
    const missing = await refused((_, header) => {
      header[`${embedding}.minima`] = header[`${embedding}.maxima`]!;
      delete header[`${embedding}.maxima`];
    });
    expect(missing).toContain(`has no '${embedding}.maxima'`);
  });
});

describe('what does not fit together', () => {
  const fails = async (promise: Promise<unknown>, message: RegExp) => {
    const error = await promise.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(message);
  };

  test('options of cpt in a run from scratch', async () => {
    await fails(start('bad', { optimizerState: 'keep' }), /optimizerState is for cpt/);
    await fails(start('bad', { freezeBodyTokens: BATCH }), /freezeBodyTokens is for cpt/);
    await fails(start('bad', { schedule: 'anneal' }), /use it with cpt --from/);
  });

  test('a freeze that is shorter than a step or longer than the run', async () => {
    await fails(cpt('bad', run('source'), { freezeBodyTokens: 10 }), /10 is less than one batch of 128/);
    await fails(cpt('bad', run('source'), { freezeBodyTokens: 1e6 }), /is more than the run's 1280 tokens/);
  });

  test('moments that are missing or of other shapes, found before anything starts', async () => {
    const from = join(root, 'broken');
    cpSync(checkpointAt('source', 10), from, { recursive: true });
    const keep = { optimizerState: 'keep' };
    const path = join(from, 'optimizer.safetensors');
    const moments = SafetensorsFile.open(path);
    const embedding = 'model.embed_tokens.weight.m';
    const tensors = moments.names.map(name => {
      const shape = moments.shape(name);
      const values = moments.read(name, shape);
      return floatTensor(name, name === embedding ? [150, 64] : shape, async () => values);
    });
    moments.close();
    const write = async (written: typeof tensors) => {
      rmSync(path);
      await writeSafetensors(new OutputFile(path), written);
    };
    await write(tensors);
    await fails(
      cpt('bad', from, keep),
      /'model.embed_tokens.weight.m' has shape \[150, 64\], and the model \[300, 32\]/,
    );
    await write(tensors.filter(({ name }) => name !== embedding));
    await fails(cpt('bad', from, keep), /has no 'model.embed_tokens.weight.m'; use optimizerState reset/);
    rmSync(join(from, 'optimizer.safetensors'));
    await fails(cpt('bad', from, keep), /'.*broken' has no optimizer.safetensors/);
    rmSync(join(from, 'training.json'));
    await fails(
      cpt('bad', from, { schedule: 'anneal', learningRate: undefined }),
      /does not say at which learning rate/,
    );
  });
});

test('a source that was trained far beyond 20 tokens per parameter is warned of', async () => {
  const from = join(root, 'over-trained');
  cpSync(checkpointAt('source', 10), from, { recursive: true });
  const path = join(from, 'training.json');
  const state = JSON.parse(readFileSync(path, 'utf8')) as { parameters: number };
  writeFileSync(path, JSON.stringify({ ...state, tokens: 150 * state.parameters }));
  const notes: string[] = [];
  const observer: TrainObserver = { onNote: note => notes.push(note) };
  // the record was changed
  await startRun(config('warned', { tokens: BATCH }), { device: context.device, from, observer, verify: false });
  expect(notes).toEqual([expect.stringMatching(/'source' has had 150 tokens per parameter, far more than 20/)]);
  expect((await dryRun(config('dry', {}), { from })).notes).toEqual(notes);
  expect((await dryRun(config('dry', {}), { from: run('source') })).notes).toEqual([]);
});
