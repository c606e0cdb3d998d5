/**
 * A model that is only used keeps its matrices in the two-byte type of its files: every result has the bits of the same
 * model in f32.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sizeOf } from '../../src/autograd/tensor.js';
import { generate, loadModel, logits, loss, lossAndGradients, type Model, Trainer } from '../../src/index.js';
import { PRECISIONS, type Precision } from '../../src/model/tensors.js';
import { type Json, LAYOUTS, packed, safetensors, tensorsOf, writeCheckpoint } from '../support/checkpoints.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
const root = mkdtempSync(join(tmpdir(), 'babelgrad-stored-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const smol = LAYOUTS['SmolLM, BF16, tied, 3 heads to 1']!;
const EMBEDDING = 'model.embed_tokens.weight';
const hasHalves = () => context.device.adapter.features.includes('shader-f16');

interface Case {
  readonly config: Json;
  readonly dtype: string;
  readonly shards?: number;
  /** A tensor in f32 among them. */
  readonly single?: string;
  /** What matrices are held in where the adapter reads f16, and where it does not. */
  readonly held: 'f32' | 'f16' | 'bf16';
}
const CASES: Readonly<Record<string, Case>> = {
  'F16, untied': { ...LAYOUTS['Llama 2, F16']!, held: 'f16' },
  'BF16, tied': { ...smol, held: 'bf16' },
  'BF16, untied, sharded': { ...LAYOUTS['Llama of transformers 5 (rope_parameters), BF16, sharded']!, held: 'bf16' },
  'BF16, with biases': { ...LAYOUTS['Qwen2.5, BF16, tied, 3 heads to 1, biases']!, held: 'bf16' },
  'F16, with norms of heads': {
    ...LAYOUTS['Qwen3, F16, grouped-query, heads wider than the model, norms of heads']!,
    held: 'f16',
  },
  F32: { ...LAYOUTS['Llama with linear scaling, F32']!, held: 'f32' },
  'BF16, norms in F32': { ...smol, single: 'model.norm.weight', held: 'bf16' },
  'BF16, a matrix in F32': { ...smol, single: 'model.layers.1.mlp.up_proj.weight', held: 'f32' },
  'BF16, matrices of an odd number of values': {
    dtype: 'BF16',
    config: { ...smol.config, hidden_size: 45, head_dim: 16, intermediate_size: 81 },
    held: 'f32',
  },
};

function write(name: string, { config, dtype, shards, single }: Case): string {
  const folder = join(root, name.replaceAll(/\W+/g, '-'));
  const tensors = writeCheckpoint(folder, { config, dtype, shards });
  if (single) {
    const { shape } = tensors.get(single)!;
    const values = Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.fround(0.1 * Math.sin(i)));
    tensors.set(single, { dtype: 'F32', shape, bytes: packed(values, 'F32') });
    writeFileSync(join(folder, 'model.safetensors'), safetensors(tensors));
  }
  return folder;
}

/** Bytes that the arenas of matrices take at a byte a value. */
const alignedSizes = (model: Model): number =>
  model.groups.filter(({ decay }) => decay).reduce((sum, { shape }) => sum + Math.ceil(sizeOf(shape) / 128) * 128, 0);

const [B, T] = [2, 19];
const sequences = Uint32Array.from({ length: B * (T + 1) }, (_, i) => (i * 29 + 3) % 67);
const prompts = [
  [3, 1, 4, 1, 5],
  [9, 2],
];
const sampled = { maxTokens: 12, temperature: 1, seed: 5, endIds: [66] };

async function resultsOf(model: Model) {
  const generation = await generate(model, prompts, async ids => ids.join(' '), sampled);
  const weights = new Map<string, Float32Array>();
  for (const { name } of model.specs) weights.set(name, await model.read(name));
  return {
    logits: await logits(model, sequences.subarray(0, B * T), { B, T }),
    loss: await loss(model, sequences, { B, T }),
    generated: generation.results.map(({ ids }) => ids),
    gradients: (await lossAndGradients(model, sequences, { B, T })).gradients,
    weights,
  };
}

describe.each(Object.entries(CASES))('%s', (name, one) => {
  let folder: string;
  beforeAll(() => {
    folder = write(name, one);
  });

  test.each(PRECISIONS)('in %s: the same bits in every result, in less memory', async (precision: Precision) => {
    const { device } = context;
    if (precision === 'f16' && !hasHalves()) return;
    const held = one.held === 'f16' && !hasHalves() ? 'f32' : one.held;
    const before = device.memory.bytes;
    const trained = await loadModel(device, folder, { precision });
    const between = device.memory.bytes;
    const used = await loadModel(device, folder, { precision, trainable: false });
    const saved = between - before - (device.memory.bytes - between);
    const bytesSaved = { f32: 0, bf16: 2, f16: precision === 'f16' ? 4 : 2 }[held];
    expect(saved).toBe(bytesSaved * alignedSizes(used));
    expect(used.weight(EMBEDDING).dtype).toBe(held);
    expect(trained.weight(EMBEDDING).dtype).toBe('f32');
    expect(await resultsOf(used)).toEqual(await resultsOf(trained));
    trained.destroy();
    used.destroy();
  });
});

test('it is not trained', async () => {
  const settings = { B: 1, T: 8, microBatches: 1, optimizer: OPTIMIZER };
  for (const name of ['BF16, tied', 'F32']) {
    const model = await loadModel(context.device, write(name, CASES[name]!), { trainable: false });
    await expect(Trainer.create(model, settings)).rejects.toThrow(/trainable: false.*load it with trainable: true/);
    model.destroy();
  }
});
const OPTIMIZER = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };

test.each([
  ['BF16', 0xff81],
  ['BF16', 0x7f80],
  ['F16', 0x7e00],
] as const)('a value of %s that is not finite (bits %i) is refused in the same words', async (dtype, bits) => {
  const folder = write('damaged', { ...smol, dtype, held: 'f32' });
  const tensors = tensorsOf(smol.config, dtype);
  const { bytes } = tensors.get('model.layers.1.mlp.down_proj.weight')!;
  new Uint16Array(bytes.buffer)[5 * 80 + 7] = bits;
  writeFileSync(join(folder, 'model.safetensors'), safetensors(tensors));
  for (const trainable of [true, false]) {
    await expect(loadModel(context.device, folder, { trainable })).rejects.toThrow(
      /'model.layers.1.mlp.down_proj.weight' holds a value that is not finite \(NaN or infinity\) at \[5, 7\]/,
    );
  }
});
