/** The device memory that a dry run tells, against what a run takes. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { sizeOf } from '../../src/autograd/tensor.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import type { Device } from '../../src/gpu/device.js';
import { openDevice } from '../../src/gpu/open-device.js';
import type { ModelConfig } from '../../src/model/config.js';
import { traitsOf } from '../../src/model/families.js';
import { parameterGroups } from '../../src/model/parameters.js';
import { chunkRows } from '../../src/ops/head-loss.js';
import { parseConfig } from '../../src/run/config.js';
import { dryRun } from '../../src/run/dry-run.js';
import { readRunConfig } from '../../src/run/folder.js';
import { HEALTH_LIMITS } from '../../src/run/health.js';
import { startRun } from '../../src/run/start.js';
import { useDevice } from '../support/gpu.js';
import { sampleText } from '../support/text.js';

/** Runs of one size share what they compile. Between them it keeps the buffer that tensors are read through. */
const context = useDevice({});
const root = mkdtempSync(join(tmpdir(), 'babelgrad-memory-'));

beforeAll(async () => {
  const file = join(root, 'en.txt');
  writeFileSync(file, sampleText(0, 6000));
  const tokenizer = await trainTokenizer([file], { vocabSize: 300, field: 'text', out: join(root, 'tokenizer.json') });
  await tokenizeFiles([file], { tokenizer, field: 'text', out: join(root, 'en'), heldOutTokens: 300 });
});
afterAll(() => rmSync(root, { recursive: true }));

const model = { hiddenSize: 48, intermediateSize: 128, numHiddenLayers: 4, numAttentionHeads: 4 };
const config = (fields: Record<string, unknown>) =>
  parseConfig(
    {
      out: join(root, 'run'),
      sources: [{ name: 'en', path: join(root, 'en') }],
      tokens: 3 * 512,
      contextLength: 64,
      batchTokens: 512,
      ...fields,
    },
    'the test',
  );

/** Runs on a device on which nothing else is, and leaves nothing there but what tensors are read through. */
async function runFrom(device: Device, fields: Record<string, unknown>) {
  const { memory } = device;
  const readThrough = memory.bytes;
  memory.peakBytes = readThrough;
  const summary = await startRun(config(fields), { device });
  if (readThrough > 0) expect(memory.bytes, 'left on the device').toBe(readThrough);
  return { summary, peakBytes: memory.peakBytes };
}

/** The bytes of a layer's weights in f32, each tensor from a multiple of 128 elements on. */
const bytesOfLayer = (shape: ModelConfig): number =>
  parameterGroups(shape)
    .filter(({ name }) => name.startsWith('model.layers.0.'))
    .reduce((sum, group) => sum + 4 * 128 * Math.ceil(sizeOf(group.shape) / 128), 0);

describe('a dry run', () => {
  test('warns of a budget that goes through the text more than four times', async () => {
    const notesOf = async (tokens: number) => (await dryRun(config({ ...model, tokens }))).notes;
    const { trainTokens } = (await dryRun(config(model))).run.sources[0]!;
    expect(await notesOf(3.5 * trainTokens)).toEqual([]);
    expect(await notesOf(6 * trainTokens)).toEqual([
      expect.stringMatching(/^warning: the budget goes (5\.9|6\.0) times /),
    ]);
  });

  test('epochs are passes over the source of the largest share, to which replay adds its part', async () => {
    const budgetOf = async (fields: object) => (await dryRun(config({ ...model, tokens: undefined, ...fields }))).run;
    const whole = await budgetOf({ epochs: 1 });
    const { trainTokens } = whole.sources[0]!;
    const rounded = (tokens: number) => 512 * Math.round(tokens / 512);
    expect(whole.tokens).toBe(rounded(trainTokens));
    expect((await budgetOf({ epochs: 2.5 })).tokens).toBe(rounded(2.5 * trainTokens));
    const replay = { name: 'replay', path: join(root, 'en') };
    const main = { name: 'en', path: join(root, 'en') };
    const mixed = {
      epochs: 3,
      sources: [
        { ...replay, weight: 1 },
        { ...main, weight: 4 },
      ],
    };
    expect((await budgetOf(mixed)).tokens).toBe(rounded((3 * trainTokens) / 0.8));
    const stages = [{ weight: 1, to: 0, until: 1 }];
    const staged = {
      epochs: 2,
      sources: [
        { ...replay, weight: stages },
        { ...main, weight: 1 },
      ],
    };
    const share = 1 - (await budgetOf(staged)).sources[0]!.weight;
    expect((await budgetOf(staged)).tokens).toBe(rounded((2 * trainTokens) / share));
    await expect(budgetOf({ epochs: 1, tokensPerParameter: 20 })).rejects.toThrow(
      'the budget is given more than once, by tokensPerParameter, epochs; give one of them',
    );
  });

  test.each([
    ['small, tied', { ...model }],
    ['with checkpointing', { ...model, checkpointing: 'layer' }],
    ['with an average of weights', { ...model, emaDecay: 0.99 }],
    ['biases of Q, K, V', { ...model, qkvBias: true }],
    ['norms behind attention and MLP', { ...model, qkNorm: true, qkNormOver: 'projection', normPlacement: 'after' }],
    [
      'a Gemma 2',
      {
        ...{ ...model, ...traitsOf('gemma2'), slidingWindow: 8, slidingWindowPattern: 2 },
        ...{ attnLogitSoftcapping: 50, finalLogitSoftcapping: 30 },
      },
    ],
    [
      'a Gemma 3',
      {
        ...{ ...model, ...traitsOf('gemma3') },
        ...{ slidingWindow: 8, slidingWindowPattern: 2, ropeLocalBaseFreq: 100 },
      },
    ],
    ['norms of Q and K, checkpointing', { ...model, qkNorm: true, checkpointing: 'layer' }],
    ['untied, a vocabulary in chunks', { ...model, hiddenSize: 16, vocabSize: 30_000, tieWordEmbeddings: false }],
    [
      'tied, a vocabulary in chunks, checkpointing, micro-batches',
      {
        ...model,
        hiddenSize: 16,
        vocabSize: 66_000,
        checkpointing: 'layer',
        microBatch: 4,
      },
    ],
    ['a matrix larger than the embedding', { ...model, intermediateSize: 400 }],
    ['moments in 8 bits', { ...model, momentType: '8bit' }],
    ['moments in host memory', { ...model, offload: 'moments' }],
    ['moments in 8 bits, in host memory', { ...model, momentType: '8bit', offload: 'moments' }],
    ['weights in bf16', { ...model, momentType: '8bit', weightType: 'bf16' }],
    [
      'frozen layers',
      { ...model, parameterGroups: [{ match: ['model.layers.0.*', 'model.layers.1.*'], frozen: true }] },
    ],
  ])('tells the peak of a run with evaluations and checkpoints: %s', async (_, fields) => {
    const { run, memory } = await dryRun(config(fields));
    expect(existsSync(join(root, 'run')), 'nothing is written').toBe(false);
    const isOfSize = (['hiddenSize', 'intermediateSize'] as const).every(name => run.model[name] === model[name]);
    const device = isOfSize ? context.device : await openDevice();
    const createBuffer = vi.spyOn(device, 'createBuffer');
    const { summary, peakBytes } = await runFrom(device, fields);
    const largest = Math.max(...createBuffer.mock.calls.map(([, sizeBytes]) => sizeBytes));
    createBuffer.mockRestore();
    if (!isOfSize) device.close();
    rmSync(join(root, 'run'), { recursive: true });
    expect(summary.step).toBe(3);
    expect(Math.abs(memory.peak / peakBytes - 1), `${memory.peak} told, ${peakBytes} taken`).toBeLessThan(0.01);
    const rows = run.microBatch * run.contextLength;
    const [V, chunk] = [run.model.vocabSize, chunkRows(rows, run.model.vocabSize)];
    if (V > 1000) expect(chunk, 'the logits come in chunks').toBeLessThan(rows);
    if (chunk < rows) expect(largest, 'no buffer of [R, V]').toBe(4 * chunk * V);
    const { parameters, gradients, optimizer, average, activations, other, peak } = memory;
    expect(parameters + gradients + optimizer + average + activations + other).toBe(peak);
    expect(average).toBe(run.emaDecay === undefined ? 0 : parameters);
    // matrices in two bytes a parameter, norms and gradients in four
    if (run.weightType === 'bf16') expect(parameters).toBeLessThan(0.52 * gradients);
    else if (!run.parameterGroups) expect(gradients).toBe(parameters);
    else expect(gradients, 'of two layers in four').toBe(parameters - 2 * bytesOfLayer(run.model));
    if (run.offload === 'moments') {
      const inDevice = (await dryRun(config({ ...fields, offload: 'none' }))).memory;
      const bytes = run.momentType === 'f32' ? 2 : 0.5;
      expect(memory.host / gradients, 'moments of matrices').toBeGreaterThan(0.95 * bytes);
      // each piece has a kernel call of its own, with its parameters
      const taken = inDevice.optimizer + inDevice.activations - optimizer - activations;
      expect(inDevice.peak - peak).toBe(taken);
      expect(optimizer).toBeLessThan(0.8 * inDevice.optimizer);
    } else if (run.momentType === 'f32') expect(optimizer).toBe(2 * gradients);
    else expect(optimizer, 'two bytes of four, and norms').toBeLessThan(0.56 * gradients);
    expect(memory.refusals).toEqual([]);
  });

  test('of a model beyond any memory says what would be refused, and takes none', async () => {
    const before = readdirSync(root);
    const { run, memory, adapter } = await dryRun(config({ preset: '5534M', vocabSize: 500_000, microBatch: 1 }));
    const { limits } = adapter;
    expect(memory.parameters).toBe(4 * run.parameters.total);
    expect(memory.peak).toBeGreaterThan(16 * run.parameters.total);
    const embedding = 4 * run.model.vocabSize * run.model.hiddenSize;
    if (embedding > limits.maxBufferSize!) {
      expect(memory.refusals[0]).toMatch(`'model.embed_tokens.weight' needs ${embedding} bytes in one buffer`);
    }
    expect(readdirSync(root)).toEqual(before);
  });

  test('shows that checkpointing takes less for activations, and the same for the rest', async () => {
    const [kept, recomputed] = await Promise.all(
      ['none', 'layer'].map(async checkpointing => (await dryRun(config({ ...model, checkpointing }))).memory),
    );
    expect(recomputed!.activations).toBeLessThan(0.7 * kept!.activations);
    expect({ ...recomputed, activations: 0, peak: 0 }).toEqual({ ...kept, activations: 0, peak: 0 });
  });

  test('makes a run fit: smaller micro-batches, then checkpointing, then moments in 8 bits, then both, then offload', async () => {
    const peakOf = async (fields: Record<string, unknown>) =>
      (await dryRun(config({ ...model, ...fields }))).memory.peak;
    const fitted = async (bytes: number, fields: Record<string, unknown> = {}) => {
      const memory = `${bytes / 1e6}MB`;
      const { run, memory: taken, notes } = await dryRun(config({ ...model, memory, ...fields }));
      const { microBatch, checkpointing, momentType, offload } = run;
      expect(taken.peak).toBeLessThanOrEqual(bytes);
      const choices = `microBatch ${microBatch}, checkpointing ${checkpointing}, momentType ${momentType}`;
      const offloaded = offload === 'none' ? '' : `, offload ${offload}`;
      expect(notes).toContain(`for memory ${memory}: ${choices}${offloaded}`);
      return [microBatch, checkpointing, momentType];
    };
    const peaks = {
      whole: await peakOf({}),
      four: await peakOf({ microBatch: 4 }),
      one: await peakOf({ microBatch: 1 }),
      second: await peakOf({ microBatch: 1, checkpointing: 2 }),
      layer: await peakOf({ microBatch: 1, checkpointing: 'layer' }),
      coded: await peakOf({ microBatch: 1, momentType: '8bit' }),
      both: await peakOf({ microBatch: 1, momentType: '8bit', checkpointing: 'layer' }),
      offloaded: await peakOf({ microBatch: 1, momentType: '8bit', checkpointing: 'layer', offload: 'moments' }),
    };
    expect(await fitted(1e9)).toEqual([8, 'none', 'f32']);
    expect(await fitted(peaks.whole)).toEqual([8, 'none', 'f32']);
    expect(await fitted(peaks.whole - 1)).toEqual([4, 'none', 'f32']);
    expect(await fitted(peaks.one)).toEqual([1, 'none', 'f32']);
    expect(await fitted(peaks.second)).toEqual([1, 2, 'f32']);
    expect(await fitted(peaks.second - 1)).toEqual([1, 'layer', 'f32']);
    expect(await fitted(peaks.layer)).toEqual([1, 'layer', 'f32']);
    expect(peaks.coded, 'of these, moments take more than activations').toBeLessThan(peaks.layer);
    expect((await fitted(peaks.layer - 1)).slice(1)).toEqual(['none', '8bit']);
    expect(await fitted(peaks.both)).toEqual([1, 'layer', '8bit']);
    // what is given stays
    expect(await fitted(peaks.whole - 1, { microBatch: 8 })).toEqual([8, 4, 'f32']);
    expect((await fitted(peaks.four, { momentType: '8bit' })).slice(1)).toEqual(['none', '8bit']);
    expect(peaks.offloaded).toBeLessThan(peaks.both);
    expect((await fitted(peaks.both - 1)).at(-1)).toBe('8bit');
    expect(await fitted(peaks.offloaded)).toEqual([1, 'layer', '8bit']);
    await expect(fitted(peaks.offloaded - 1)).rejects.toThrow(
      /the run takes [\d.]+ MB at least \(microBatch 1, checkpointing layer, momentType 8bit, offload moments\); use precision f16/,
    );
    // who watches moments needs them on the device
    const health = { every: 1, limits: HEALTH_LIMITS };
    const watched = (bytes: number) => dryRun(config({ ...model, memory: `${bytes / 1e6}MB` }), { health });
    expect((await watched(peaks.both)).run.momentType).toBe('8bit');
    await expect(watched(peaks.both - 1)).rejects.toThrow(/momentType 8bit\); use .* a smaller model, no --audit, or/);
    for (const memory of ['24', '-1GB', '24 gigabytes', 'GB']) {
      expect(() => config({ memory })).toThrow(`field 'memory' is "${memory}": it is no size such as 24GB`);
    }

    const { peakBytes } = await runFrom(context.device, { ...model, memory: `${peaks.layer / 1e6}mb` });
    expect(peakBytes).toBeLessThanOrEqual(1.01 * peaks.layer);
    expect(readRunConfig(join(root, 'run'))).toMatchObject({
      microBatch: 1,
      checkpointing: 'layer',
      momentType: 'f32',
    });
    rmSync(join(root, 'run'), { recursive: true });
  });

  test('a vocabulary does not limit the micro-batch', async () => {
    const sizes = [300, 250_000].map(async vocabSize => {
      const fields = { ...model, vocabSize, contextLength: 128, batchTokens: 4096, tokens: 4096 };
      return (await dryRun(config(fields))).run.microBatch;
    });
    expect(await Promise.all(sizes)).toEqual([32, 32]);
  });
});
