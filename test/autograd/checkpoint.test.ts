/** Segments that the backward walk traces again. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { layOut } from '../../src/autograd/layout.js';
import type { Tensor } from '../../src/autograd/tensor.js';
import { type Checkpointing, createModel, type ModelConfig } from '../../src/index.js';
import { traitsOf } from '../../src/model/families.js';
import { linear } from '../../src/ops/linear.js';
import { rope, ropeTable } from '../../src/ops/rope.js';
import { swigluLinear } from '../../src/ops/swiglu.js';
import { Random } from '../../src/random.js';
import { GradientPass } from '../../src/train/gradients.js';
import { backwardFrom, input, parameter, run, sum, uniform, useDevice } from '../support/gpu.js';
import { disturbVectors } from '../support/vectors.js';

const context = useDevice();

describe('a checkpointed segment', () => {
  /** x → rope(x W2ᵀ) in place → swiglu of W1 → W2, plus x; the gradients of x, W1 and W2. */
  async function gradients(segment: (graph: Graph, x: Tensor, trace: (x: Tensor) => Tensor) => Tensor) {
    const { device } = context;
    const [T, C] = [5, 8];
    const make = (name: string, shape: number[]) =>
      parameter(device, name, shape, uniform(name, shape[0]! * shape[1]!, -1, 1));
    const [X, W1, W2] = [make('x', [T, C]), make('w1', [2 * C, C]), make('w2', [C, C])];
    const table = input(device, 'table', [T, C / 2, 2], ropeTable(T, C, 100));
    const graph = new Graph();
    const trace = (x: Tensor) => {
      const turned = rope(graph, linear(graph, x, W2), table, { B: 1, T, heads: 1, rowHeads: 1, headSize: C });
      return linear(graph, swigluLinear(graph, turned, W1), W2, { residual: x });
    };
    const first = linear(graph, X, W2);
    const y = segment(graph, segment(graph, first, trace), trace);
    backwardFrom(graph, y, input(device, 'dy', [T, C], uniform('dy', T * C)));
    const values = await run(device, graph, [X.gradient!, W1.gradient!, W2.gradient!]);
    return { values, nodes: layOut(graph, { keep: [y] }).nodes.length };
  }

  test('gives the same bits as one that is kept, nested too', async () => {
    const kept = await gradients((_, x, trace) => trace(x));
    const again = await gradients((graph, x, trace) => graph.checkpoint(x, trace));
    const nested = await gradients((graph, x, trace) => graph.checkpoint(x, y => graph.checkpoint(y, trace)));
    expect(again.values).toEqual(kept.values);
    expect(nested.values).toEqual(kept.values);
    expect(kept.values.every(gradient => gradient.some(value => value !== 0))).toBe(true);
    // run twice: linear, rope and swiglu of both segments; what only made the output is not
    expect(again.nodes).toBe(kept.nodes + 6);
  });

  test('is not traced again when no gradient arrives', () => {
    const { device } = context;
    const graph = new Graph();
    const x = parameter(device, 'x', [2, 2], [1, 2, 3, 4]);
    let traces = 0;
    graph.checkpoint(x, input => {
      traces++;
      return sum(graph, input, input);
    });
    backwardFrom(graph, sum(graph, x, x), input(device, 'dy', [2, 2], [1, 1, 1, 1]));
    expect(traces).toBe(1);
  });

  test('refuses that its inner tensors are used outside', () => {
    const { device } = context;
    const graph = new Graph();
    const x = parameter(device, 'x', [2, 2], [1, 2, 3, 4]);
    let inner: Tensor | undefined;
    const y = graph.checkpoint(x, input => {
      inner = sum(graph, input, input);
      return sum(graph, inner, inner);
    });
    const z = sum(graph, y, inner!);
    expect(() => backwardFrom(graph, z, input(device, 'dy', [2, 2], [1, 1, 1, 1]))).toThrow(
      /'sum_of_two' is used outside the segment/,
    );
  });
});

describe('checkpointing of layers', () => {
  const [B, T] = [2, 33];
  const shape = (numHiddenLayers: number, tieWordEmbeddings: boolean): ModelConfig => ({
    vocabSize: 131,
    hiddenSize: 48,
    intermediateSize: 90,
    numHiddenLayers,
    numAttentionHeads: 4,
    numKeyValueHeads: 2,
    headDim: 12,
    rmsNormEps: 1e-5,
    ropeTheta: 10000,
    tieWordEmbeddings,
    maxPositionEmbeddings: 64,
  });
  const random = new Random(5);
  const sequences = Uint32Array.from({ length: B * (T + 1) }, () => random.integer(131));

  async function pass(config: ModelConfig, checkpointing: Checkpointing) {
    const model = await createModel(context.device, config, { seed: 8 });
    await disturbVectors(model);
    const made = await GradientPass.create(model, { B, T }, { checkpointing });
    made.submit(sequences);
    const tensors = made.plan.buffers.filter(({ label }) => label !== 'kernel parameters');
    const bytes = tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const result = { ...(await made.read()), bytes };
    made.destroy();
    model.destroy();
    return result;
  }

  test.each([
    ['tied head', shape(3, true)],
    ['untied head', shape(3, false)],
    ['biases of Q, K, V', { ...shape(3, true), qkvBias: true }],
    ['norms of Q and K', { ...shape(3, true), qkNorm: true }],
    ['a layer without rotary embedding', { ...shape(3, true), nopeLayerInterval: 2 }],
    [
      'a Gemma 2',
      {
        ...{ ...shape(3, true), ...traitsOf('gemma2'), slidingWindow: 10, slidingWindowPattern: 2 },
        ...{ attnLogitSoftcapping: 50, finalLogitSoftcapping: 30 },
      },
    ],
    [
      'a Gemma 3',
      {
        ...{ ...shape(3, true), ...traitsOf('gemma3') },
        ...{ slidingWindow: 10, slidingWindowPattern: 2, ropeLocalBaseFreq: 1000 },
      },
    ],
    [
      'norms behind attention and MLP',
      { ...shape(3, true), qkNorm: true, qkNormOver: 'projection', normPlacement: 'after' } as const,
    ],
  ])('loss and every gradient are the same bits: %s', async (_, config) => {
    const kept = await pass(config, 'none');
    for (const checkpointing of ['layer', 2, 3] as const) {
      const again = await pass(config, checkpointing);
      expect(again.loss).toBe(kept.loss);
      expect(again.gradients).toEqual(kept.gradients);
    }
    expect([...kept.gradients.values()].every(gradient => gradient.some(value => value !== 0))).toBe(true);
  });

  test('a further layer costs its input, [R, C], alone; kept, it costs all that it saves', async () => {
    const bytes = async (layers: number, checkpointing: Checkpointing) =>
      (await pass(shape(layers, true), checkpointing)).bytes;
    const R = B * T;
    const layerSaves = 4 * R * (5 * 48 + 2 * 24 + 2 * 90); // norms, q, k, v, mixed, sum, gate and up, at least
    expect((await bytes(8, 'layer')) - (await bytes(3, 'layer'))).toBe(5 * 4 * R * 48);
    expect((await bytes(8, 'none')) - (await bytes(3, 'none'))).toBeGreaterThan(5 * layerSaves);
    expect(await bytes(8, 'layer')).toBeLessThan((await bytes(8, 'none')) / 2);
    // of six more layers, every third is recomputed: two cost their inputs, and four all
    const [kept, third] = await Promise.all(
      (['none', 3] as const).map(async every => (await bytes(9, every)) - (await bytes(3, every))),
    );
    expect(third! - 2 * 4 * R * 48).toBeCloseTo((4 / 6) * kept!, -1);
  });
});
