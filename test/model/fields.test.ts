/** A whole configuration from a few fields, and a model made from them. */
import { expect, test } from 'vitest';
import { createModel, modelConfig, UserError } from '../../src/index.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();

test('a preset and a vocabulary make a configuration; what is given wins', () => {
  expect(modelConfig({ preset: 'tiny', vocabSize: 300 })).toEqual({
    ...{ vocabSize: 300, hiddenSize: 64, intermediateSize: 176, numHiddenLayers: 2 },
    ...{ numAttentionHeads: 4, numKeyValueHeads: 4, headDim: 16 },
    ...{ rmsNormEps: 1e-5, ropeTheta: 10_000, tieWordEmbeddings: true, maxPositionEmbeddings: 2048 },
  });
  const given = { numHiddenLayers: 3, numKeyValueHeads: 2, headDim: 8, tieWordEmbeddings: false, slidingWindow: 32 };
  expect(modelConfig({ preset: 'tiny', vocabSize: 300, ...given })).toMatchObject({ ...given, hiddenSize: 64 });
  // a whole configuration is itself
  const whole = modelConfig({ preset: '125M', vocabSize: 32_000 });
  expect(modelConfig(whole)).toEqual(whole);
});

test('fields that make no model are refused', () => {
  const refuses = (fields: Parameters<typeof modelConfig>[0], message: RegExp) => {
    expect(() => modelConfig(fields)).toThrow(message);
    expect(() => modelConfig(fields)).toThrow(UserError);
  };
  refuses({ vocabSize: 300 }, /the model has no hiddenSize; give it, or a preset/);
  refuses({ preset: 'gigantic', vocabSize: 300 }, /no model preset 'gigantic'; there are tiny, /);
  refuses(
    { preset: 'tiny', vocabSize: 300, numAttentionHeads: 5 },
    /numAttentionHeads 5 does not divide hiddenSize 64/,
  );
  refuses({ preset: 'tiny', vocabSize: 0 }, /vocabSize is 0; it must be a positive whole number/);
});

test('a model from a preset has the weights of one from the whole configuration', async () => {
  const { device } = context;
  using short = await createModel(device, { preset: 'tiny', vocabSize: 50 });
  using long = await createModel(device, modelConfig({ preset: 'tiny', vocabSize: 50 }), { seed: 0 });
  using other = await createModel(device, { preset: 'tiny', vocabSize: 50 }, { seed: 1 });
  const name = 'model.layers.1.mlp.down_proj.weight';
  expect(short.config).toEqual(long.config);
  expect(await short.read(name)).toEqual(await long.read(name));
  expect(await short.read(name)).not.toEqual(await other.read(name));
});
