/** The float64 reference itself: against PyTorch's float64, and its gradients against central differences. */
import { describe, expect, test } from 'vitest';
import { traitsOf } from '../../src/model/families.js';
import { parameterSpecs } from '../../src/model/parameters.js';
import { gradientDeviation } from '../../src/numerics/gradcheck.js';
import { llama, trainLlama, type Weights } from '../../src/numerics/llama.js';
import { globalNorm } from '../../src/numerics/reference.js';
import { Random } from '../../src/random.js';
import { golden, goldenShape, goldenTensors, learningRate, optimizer } from '../support/golden.js';
import { smallModel } from '../support/model.js';

/**
 * Stored as float32: a relative rounding of 2^-24; the largest value of a tensor sets the scale of what is compared.
 */
function expectStored(actual: Float64Array, stored: Float32Array, what: string): void {
  let largest = 0;
  let worst = 0;
  stored.forEach((value, i) => {
    largest = Math.max(largest, Math.abs(value));
    worst = Math.max(worst, Math.abs(value - actual[i]!));
  });
  expect(worst / largest, what).toBeLessThan(2 ** -24);
}

describe('against PyTorch in float64', () => {
  const weights = (): Weights =>
    new Map([...goldenTensors('model')].map(([name, values]) => [name, Float64Array.from(values)]));

  test('logits, loss, gradients, ten losses, and weights after 1, 2 and 10 AdamW steps', () => {
    const parameters = weights();
    const isMatrix = new Map(parameterSpecs(goldenShape).map(({ name, decay }) => [name, decay]));
    const settings = { lr: learningRate, ...optimizer };
    trainLlama(
      goldenShape,
      parameters,
      golden.tokens,
      settings,
      name => isMatrix.get(name)!,
      (step, result) => {
        expect(result.loss).toBeCloseTo(golden.losses[step - 1]!, 12);
        expect(globalNorm(result.gradients.values())).toBeCloseTo(golden.gradient_norms_before_clipping[step - 1]!, 11);
        if (step === 1) {
          expectStored(result.logits, goldenTensors('logits_step0').get('logits')!, 'logits');
          for (const [name, stored] of goldenTensors('gradients_step0'))
            expectStored(result.gradients.get(name)!, stored, name);
        }
        if ([1, 2, 10].includes(step)) {
          for (const [name, stored] of goldenTensors(`weights_step${step}`))
            expectStored(parameters.get(name)!, stored, name);
        }
      },
    );
  });
});

describe('against central differences', () => {
  const base = smallModel({
    vocabSize: 11,
    hiddenSize: 12,
    intermediateSize: 10,
    numAttentionHeads: 4,
    numKeyValueHeads: 2,
    headDim: 6,
    ropeTheta: 100,
    maxPositionEmbeddings: 8,
  });

  test.each([
    ['a model with grouped-query heads, a tied head and heads wider than the model', base],
    ['one with biases of Q, K, V', { ...base, qkvBias: true }],
    ['one with fused projections', { ...base, fusedProjections: true }],
    [
      'one with norms behind attention and MLP, and of the whole Q and K',
      { ...base, qkNorm: true, qkNormOver: 'projection', normPlacement: 'after' } as const,
    ],
    [
      'a Gemma 2',
      {
        ...{ ...base, ...traitsOf('gemma2'), queryPreAttnScalar: 4, slidingWindow: 2, slidingWindowPattern: 2 },
        ...{ attnLogitSoftcapping: 2, finalLogitSoftcapping: 3 },
      },
    ],
    [
      'a Gemma 3',
      {
        ...{ ...base, ...traitsOf('gemma3'), queryPreAttnScalar: 4 },
        ...{ slidingWindow: 2, slidingWindowPattern: 2, ropeLocalBaseFreq: 10 },
      },
    ],
    ['one with a layer without rotary embedding', { ...base, nopeLayerInterval: 2 }],
    ['one with norms of Q and K', { ...base, qkNorm: true }],
  ])('every parameter of %s', (_, shape) => {
    const random = new Random(3);
    const weights: Weights = new Map(
      parameterSpecs(shape).map(({ name, shape: dimensions, decay }) => [
        name,
        Float64Array.from({ length: dimensions.reduce((a, b) => a * b, 1) }, () => (decay ? 0.3 : 1) * random.normal()),
      ]),
    );
    const ids = [1, 2, 3, 1, 0, 10, 9, 9, 4, 5];
    const targets = [2, 3, 1, 5, 10, 9, 9, 4, 5, 6];
    const { gradients } = llama(shape, weights, ids, targets, 5);
    for (const [name, values] of weights) {
      const { deviation } = gradientDeviation(
        () => llama(shape, weights, ids, targets, 5).loss,
        values,
        gradients.get(name)!,
        12,
      );
      expect(deviation, name).toBeLessThan(1e-8); // the differences themselves are good to about 1e-10
    }
  });
});
