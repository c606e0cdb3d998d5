/** Runs with groups of parameters: their fields, what they keep, and going on to the same bits. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { UserError } from '../../src/errors.js';
import { parseConfig } from '../../src/run/config.js';
import { dryRun } from '../../src/run/dry-run.js';
import { readRunConfig } from '../../src/run/folder.js';
import { resumeRun } from '../../src/run/resume.js';
import { startRun } from '../../src/run/start.js';
import { useDevice } from '../support/gpu.js';
import { sampleText } from '../support/text.js';

const context = useDevice();
const root = mkdtempSync(join(tmpdir(), 'babelgrad-groups-'));
const run = (name: string) => join(root, name);
const BATCH = 128;
const STEPS = 5;
const precisions = ['f32', 'f16'] as const;

const config = (name: string, more: Record<string, unknown>) =>
  parseConfig(
    {
      out: run(name),
      sources: [{ name: 'en', path: run('data') }],
      tokens: STEPS * BATCH,
      contextLength: 32,
      batchTokens: BATCH,
      learningRate: 1e-2,
      warmup: 0,
      evalEveryTokens: STEPS * BATCH,
      checkpointEveryTokens: BATCH,
      keepCheckpoints: 100,
      ...more,
    },
    'the test',
  );
const shape = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 2, numAttentionHeads: 2 };
const start = (name: string, more: Record<string, unknown> = {}) =>
  startRun(config(name, { ...shape, ...more }), { device: context.device });

beforeAll(async () => {
  const text = join(root, 'en.txt');
  writeFileSync(text, sampleText(0, 6000));
  const tokenizer = await trainTokenizer([text], { vocabSize: 300, field: 'text', out: join(root, 'tokenizer.json') });
  await tokenizeFiles([text], { tokenizer, field: 'text', out: run('data'), heldOutTokens: 100 });
  await start('source');
});
afterAll(() => rmSync(root, { recursive: true }));

const checkpointAt = (name: string, step: number) =>
  listCheckpoints(run(name)).find(found => found.step === step)!.folder;
const tensorsOf = (folder: string, file: string): Map<string, Float32Array> => {
  const open = SafetensorsFile.open(join(folder, file));
  const tensors = new Map(open.names.map(name => [name, open.read(name, open.shape(name))]));
  open.close();
  return tensors;
};

/** The embedding's new rows from the start, the first layer never, the second from 40% on, the last norm from 60%. */
const GROUPS = [
  { match: ['model.embed_tokens.weight'], newRows: 290, learningRate: 2 },
  { match: ['model.layers.0.*'], frozen: true },
  { match: ['model.layers.1.*'], from: '40%' },
  { match: ['model.norm.weight'], from: 3 * BATCH },
];
const trainedFrom = (name: string): number => {
  if (name.startsWith('model.layers.0.')) return Infinity;
  if (name.startsWith('model.layers.1.')) return 2;
  return name === 'model.norm.weight' ? 3 : 0;
};

describe.each(precisions)('a run with groups, in %s', precision => {
  const fields = { parameterGroups: GROUPS, precision };

  test('keeps what it says, and is resumed across each stage to the same bits', async () => {
    if (precision === 'f16' && !context.device.adapter.features.includes('shader-f16')) return;
    const name = `groups-${precision}`;
    await startRun(config(name, fields), { device: context.device, from: run('source') });
    expect(readRunConfig(run(name)).parameterGroups).toEqual([
      { match: ['model.embed_tokens.weight'], keptRows: 290, learningRate: 2 },
      { match: ['model.layers.0.*'], frozen: true },
      { match: ['model.layers.1.*'], frozenSteps: 2 },
      { match: ['model.norm.weight'], frozenSteps: 3 },
    ]);
    for (let step = 1; step <= STEPS; step++) {
      const [before, after] = [step - 1, step].map(at => tensorsOf(checkpointAt(name, at), 'model.safetensors'));
      for (const [tensor, values] of after!) {
        const kept = tensor === 'model.embed_tokens.weight' ? 290 * shape.hiddenSize : 0;
        const isSame = (value: number, i: number) => value === before!.get(tensor)![i];
        expect(values.subarray(0, kept).every(isSame), tensor).toBe(true);
        expect(values.every(isSame), `${tensor} at step ${step}`).toBe(step <= trainedFrom(tensor));
      }
    }
    const moments = [...tensorsOf(checkpointAt(name, STEPS), 'optimizer.safetensors').keys()];
    expect(moments.filter(tensor => tensor.includes('layers.0.'))).toEqual([]);
    expect(moments.filter(tensor => tensor.includes('layers.1.'))).not.toEqual([]);

    for (const at of [1, 2, 3]) {
      const abort = new AbortController();
      const stopped = `${name}-${at}`;
      await startRun(config(stopped, fields), {
        device: context.device,
        from: run('source'),
        signal: abort.signal,
        observer: { onStep: ({ step }) => step === at && abort.abort() },
      });
      await resumeRun(run(stopped), { device: context.device });
      for (const file of ['model.safetensors', 'optimizer.safetensors']) {
        const [a, b] = [stopped, name].map(which => readFileSync(join(checkpointAt(which, STEPS), file)));
        expect(a!.equals(b!), `${file} after a stop at ${at}`).toBe(true);
      }
    }
  });
});

test('moments of a source are kept for what is trained, and are not asked for the rest', async () => {
  const kept = { parameterGroups: [{ match: ['model.layers.0.*'], frozen: true }], optimizerState: 'keep' };
  const from = run('groups-f32'); // which has none of the first layer
  await startRun(config('kept', { ...kept, tokens: BATCH }), { device: context.device, from });
  await expect(dryRun(config('all', { optimizerState: 'keep' }), { from })).rejects.toThrow(
    /has no 'model\.layers\.0\.input_layernorm\.weight\.m'/,
  );
});

describe('a dry run', () => {
  test('says how many parameters are trained, and counts a checkpoint without moments of the rest', async () => {
    const [all, some] = [
      await dryRun(config('dry', shape)),
      await dryRun(config('dry', { ...shape, parameterGroups: GROUPS })),
    ];
    const layer = 4 * 32 * 32 + 3 * 32 * 48 + 2 * 32;
    expect(all.checkpointBytes - some.checkpointBytes).toBe(8 * layer);
    const total = all.run.parameters.total.toLocaleString('en-US');
    expect(some.notes).toContain(
      `of ${total} parameters ${10 * 32} are trained, ${layer.toLocaleString('en-US')} more from step 3 on, ` +
        '32 more from step 4 on',
    );
    expect(all.memory.gradients - some.memory.gradients).toBeGreaterThanOrEqual(4 * layer);
  });

  test.each([
    [[{ match: ['*nrom*'], frozen: true }], /'\*nrom\*' matches no parameter; the names are model\.embed_tokens/],
    [[{ match: ['*norm*'], frozen: true, from: '40%' }], /parameterGroups\.0: what is frozen for good has no from/],
    [[{ match: ['*norm*'], from: '100%' }], /from 100% is step 5 of 5 .*frozen: true/],
    [[{ match: ['*norm*'], from: 10 }], /from 10 is step 0 of 5/],
    [
      [{ match: ['*norm*'], from: '40' }],
      /field 'parameterGroups\.0\.from' is "40": it is neither a number of tokens nor a share/,
    ],
    [[{ match: ['*embed*'], newRows: true }], /newRows: true is for cpt/],
    [[{ match: [] }], /field 'parameterGroups\.0\.match'/],
    [[{ match: ['*norm*'], rate: 1 }], /unknown field 'rate' in parameterGroups\.0/],
    [[{ match: ['*norm*'], learningRate: 0 }], /field 'parameterGroups\.0\.learningRate' is 0/],
    [[], /field 'parameterGroups'/],
  ])('refuses %j', async (parameterGroups, message) => {
    const refused = Promise.resolve().then(() => dryRun(config('refused', { ...shape, parameterGroups })));
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toThrow(UserError);
    expect(existsSync(run('refused'))).toBe(false);
  });

  test('of a source that does not say which rows are new asks for their first', async () => {
    const groups = { parameterGroups: [{ match: ['*embed*'], newRows: true }] };
    await expect(dryRun(config('refused', groups), { from: run('source') })).rejects.toThrow(
      /'.*source.*' does not say which of its rows are new; give newRows the id/,
    );
    const both = { freezeBodyTokens: BATCH, parameterGroups: [{ match: ['*norm*'], frozen: true }] };
    await expect(dryRun(config('refused', both), { from: run('source') })).rejects.toThrow(/both say what is frozen/);
  });
});
