/** Gemmas against their equations as transformers has them, in float64. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openModel } from '../../src/checkpoint/model-folder.js';
import { createModel, loadModel, logits } from '../../src/index.js';
import { traitsOf } from '../../src/model/families.js';
import { initialWeights } from '../../src/model/init.js';
import { initialAdapter } from '../../src/model/lora.js';
import { Model } from '../../src/model/model.js';
import { type ParameterSpec, parameterSpecs } from '../../src/model/parameters.js';
import { U } from '../../src/numerics/bounds.js';
import { llama } from '../../src/numerics/llama.js';
import { LAYOUTS, writeCheckpoint } from '../support/checkpoints.js';
import { type GemmaFields, gemmaLogits, weightsOf } from '../support/gemma.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';

const context = useDevice();
const root = mkdtempSync(join(tmpdir(), 'babelgrad-gemma-'));
afterAll(() => rmSync(root, { recursive: true }));

const { config: GEMMA } = LAYOUTS['Gemma, BF16, tied, one key/value head, heads wider than the model']!;
const { config: GEMMA_2 } = LAYOUTS['Gemma 2, BF16, tied, grouped-query, soft caps, a layer within a window']!;
const { config: GEMMA_3 } = LAYOUTS['Gemma 3, BF16, tied, grouped-query, a layer within a window']!;
const largest = (values: ArrayLike<number>) =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const distance = (a: ArrayLike<number>, b: ArrayLike<number>) => largest(Array.from(a, (value, i) => value - b[i]!));

test.each([
  ['a Gemma', GEMMA],
  ['a Gemma 2 within its window', GEMMA_2],
  [
    'a Gemma 2 beyond its window, with published caps',
    {
      ...{ ...GEMMA_2, sliding_window: 7, attn_logit_softcapping: 50, final_logit_softcapping: 30 },
    },
  ],
  ['a Gemma 2 without caps', { ...GEMMA_2, attn_logit_softcapping: null, final_logit_softcapping: null }],
  ['a Gemma 3', GEMMA_3],
  ['a Gemma 3 of a window that is narrower than the text', { ...GEMMA_3, sliding_window: 7 }],
  [
    'a Gemma 3 with scaled rotation of the layers that see all',
    { ...GEMMA_3, rope_scaling: { rope_type: 'linear', factor: 4 } },
  ],
  ['a Gemma 3 of layers that all see all', { ...GEMMA_3, sliding_window_pattern: 1, layer_types: undefined }],
])('logits are those of the equations: %s', async (_, config) => {
  const T = 40;
  const folder = join(root, 'model');
  writeCheckpoint(folder, { config, dtype: 'F32' });
  const ids = Array.from({ length: T }, (_, i) => (i * i + 7 * i) % 67);
  const exact = Float64Array.from(gemmaLogits(config as unknown as GemmaFields, weightsOf(config), ids).flat());

  const { config: shape, weights } = openModel(folder);
  const values = new Map(parameterSpecs(shape).map(spec => [spec.name, Float64Array.from(weights.read(spec))]));
  weights.close();
  const own = llama(shape, values, ids, ids, T).logits;
  expect(distance(own, exact), 'both in float64').toBeLessThan(100 * 2 ** -53 * largest(exact));

  const model = await loadModel(context.device, folder);
  expect(distance(await logits(model, Uint32Array.from(ids), { B: 1, T }), exact)).toBeLessThan(
    100 * U * largest(exact),
  );
  model.destroy();
});

test('what a Gemma 2 computes depends on either cap', () => {
  const ids = Array.from({ length: 20 }, (_, i) => (i * i + 7 * i) % 67);
  const logitsOf = (changes: object) =>
    gemmaLogits({ ...GEMMA_2, ...changes } as unknown as GemmaFields, weightsOf(GEMMA_2), ids).flat();
  const both = logitsOf({});
  for (const cap of ['attn_logit_softcapping', 'final_logit_softcapping']) {
    expect(distance(logitsOf({ [cap]: null }), both), cap).toBeGreaterThan(0.01 * largest(both));
  }
});

test('a new one has norms that are norms alone: their weights are 0', async () => {
  const sizes = { vocabSize: 67, hiddenSize: 48, intermediateSize: 80, numAttentionHeads: 4 };
  const model = await createModel(context.device, smallModel({ ...sizes, ...traitsOf('gemma3') }), { seed: 1 });
  for (const { name, shape } of model.specs) {
    const values = await model.read(name);
    expect(
      values.every(value => value === 0),
      name,
    ).toBe(shape.length === 1);
  }
  model.destroy();
});

test('adapters of 0 beside gate and up leave it as it is', async () => {
  const sizes = { vocabSize: 67, hiddenSize: 48, intermediateSize: 80, numAttentionHeads: 4 };
  const config = smallModel({ ...sizes, ...traitsOf('gemma3') });
  const [base, initial] = [initialAdapter(1), initialWeights(config, 1)];
  const lora = { rank: 2, alpha: 4, targets: ['gate_proj', 'up_proj'] as const };
  const weightOf = (spec: ParameterSpec) => (spec.name.includes('.lora_') ? base(spec) : initial(spec));
  const ids = Uint32Array.from({ length: 20 }, (_, i) => (7 * i) % 67);
  const made: Float32Array[] = [];
  for (const options of [{}, { lora: { ...lora, targets: [...lora.targets] } }]) {
    const model = await Model.create(context.device, config, weightOf, options);
    made.push(await logits(model, ids, { B: 1, T: 20 }));
    model.destroy();
  }
  expect(distance(made[1]!, made[0]!)).toBeLessThan(4 * U * largest(made[0]!));
});
