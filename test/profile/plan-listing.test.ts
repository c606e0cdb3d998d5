/** The listing of a plan against the graph and the device: lifetimes, what shares a slot, bytes. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { layOut } from '../../src/autograd/layout.js';
import { allocate } from '../../src/autograd/plan.js';
import { persistent, type Tensor } from '../../src/autograd/tensor.js';
import { MemoryCount } from '../../src/gpu/memory.js';
import { CachedModel, createModel, type Model, TokenLosses } from '../../src/index.js';
import type { ModelConfig } from '../../src/model/config.js';
import { traitsOf } from '../../src/model/families.js';
import { CHECKPOINTING, type Checkpointing } from '../../src/model/llama.js';
import { ModelTensors } from '../../src/model/tensors.js';
import { listPlan } from '../../src/profile/plan-listing.js';
import { listPlans } from '../../src/profile/plans.js';
import { decodingShape } from '../../src/profile/subject.js';
import { TracedStep } from '../../src/train/traced-step.js';
import { sum, useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';

const context = useDevice();

const config = smallModel({ vocabSize: 67, hiddenSize: 32, intermediateSize: 48, numAttentionHeads: 2 });
const optimizer = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
const settings = { B: 2, T: 12, microBatches: 3, optimizer };

test('a chain of sums: two slots in turns, the last tensor kept', () => {
  const { device } = context;
  const graph = new Graph();
  const x = persistent('x', [8], device.createBuffer('a buffer', 32));
  let y = x;
  for (let i = 0; i < 4; i++) y = sum(graph, y, y);
  const { nodes, slots, live } = listPlan('chain', graph, new MemoryCount(device.adapter), { keep: [y] });
  expect(nodes.map(({ op, kernels }) => [op, ...kernels])).toEqual(Array(4).fill(['sum_of_two', 'add']));
  expect(nodes[0]!.reads[0]).toEqual({ name: 'x', shape: [8], dtype: 'f32', bytes: 32, buffer: 'a buffer' });
  const held = (from: number, to: number, kept = false) => ({ name: 'sum_of_two', bytes: 32, from, to, kept });
  expect(slots).toEqual([
    { bytes: 32, holds: [held(0, 1), held(2, 3)] },
    { bytes: 32, holds: [held(1, 2), held(3, 3, true)] },
  ]);
  expect(live).toEqual({ bytes: 64, node: 1 });
});

/** The nodes that touch a tensor, and the tensor that it overwrites in place. */
interface Touches {
  readonly tensor: Tensor;
  readonly nodes: number[];
  readonly inPlaceOf: Tensor | undefined;
}

describe.each(CHECKPOINTING)('a micro-batch, checkpointing %s', (checkpointing: Checkpointing) => {
  const microBatch = () => {
    const memory = new MemoryCount(context.device.adapter);
    return {
      memory,
      graph: new TracedStep(memory, new ModelTensors(memory, config), { ...settings, checkpointing }).microBatch,
    };
  };

  test('what shares a slot is never alive together, but for what overwrites another', () => {
    const { memory, graph } = microBatch();
    const layout = layOut(graph);
    const touches = new Map<Tensor, Touches>();
    layout.nodes.forEach(({ node }, i) => {
      node.results.forEach((tensor, r) => {
        touches.set(tensor, { tensor, nodes: [i], inPlaceOf: node.outputs[r]!.inPlaceOf });
      });
      for (const tensor of node.inputs) touches.get(tensor)?.nodes.push(i);
    });
    const { slots } = listPlan('micro-batch', graph, memory);
    const bySlot = slots.map((_, slot) =>
      [...touches.values()].filter(({ tensor }) => layout.places.get(tensor) === slot),
    );
    expect(slots.map(({ holds }) => holds.map(({ name, from, to }) => ({ name, from, to })))).toEqual(
      bySlot.map(all =>
        all.map(({ tensor, nodes }) => ({ name: tensor.name, from: nodes[0]!, to: Math.max(...nodes) })),
      ),
    );
    let [shared, overwritten] = [0, 0];
    for (const [earlier, later] of bySlot.flatMap(all => all.slice(1).map((later, i) => [all[i]!, later] as const))) {
      shared++;
      const end = Math.max(...earlier.nodes);
      if (later.inPlaceOf === earlier.tensor) {
        overwritten++;
        expect(end).toBe(later.nodes[0]);
      } else expect(end).toBeLessThan(later.nodes[0]!);
    }
    expect(shared).toBeGreaterThan(10);
    expect(overwritten, 'of rotations and their gradients, at least').toBeGreaterThan(2);
  });

  test('slots are as large as what they hold, and no plan does with less than is alive', () => {
    const { memory, graph } = microBatch();
    const { slots, live, nodes, bytes } = listPlan('micro-batch', graph, memory);
    for (const { bytes, holds } of slots) expect(bytes).toBe(Math.max(...holds.map(one => one.bytes)));
    const made = nodes.flatMap(({ makes }) => makes);
    expect(slots.flatMap(({ holds }) => holds)).toHaveLength(made.length);
    const inSlots = slots.reduce((sum, slot) => sum + slot.bytes, 0);
    expect(live.bytes).toBeLessThanOrEqual(inSlots);
    expect(live.bytes).toBeGreaterThanOrEqual(Math.max(...slots.map(slot => slot.bytes)));
    expect(inSlots).toBeLessThan(bytes);
    expect(inSlots).toBeLessThan(made.reduce((sum, tensor) => sum + tensor.bytes, 0) / 2);
  });
});

describe('bytes that are listed are those of the device', () => {
  test('a step', () => {
    const { device } = context;
    const before = device.memory.bytes;
    const model = new ModelTensors(device, config);
    const { microBatch, update } = new TracedStep(device, model, settings);
    const persistent = device.memory.bytes - before;
    for (const graph of [microBatch, update]) allocate(device, layOut(graph)); // compiling is slow, and takes no bytes
    const listed = listPlans(device.adapter, { what: 'step', config, settings }, {});
    expect(listed.totalBytes).toBe(device.memory.bytes - before);
    expect(listed.persistentBytes).toBe(persistent);
    expect(listed.plans.map(({ times }) => times)).toEqual([3, 1]);
  });

  test.each([
    ['eval', (model: Model) => TokenLosses.create(model, settings)],
    ['decode', (model: Model) => CachedModel.create(model, decodingShape(settings))],
  ] as const)('%s', async (what, make) => {
    const { device } = context;
    const before = device.memory.bytes;
    const model = await createModel(device, config, { seed: 1 });
    const made = await make(model);
    const { plans, persistentBytes, totalBytes } = listPlans(device.adapter, { what, config, settings }, {});
    expect(totalBytes).toBe(device.memory.bytes - before);
    expect(totalBytes).toBe(plans.reduce((sum, { bytes }) => sum + bytes, persistentBytes));
    made.destroy();
    model.destroy();
  });

  test('decoding, of which the caches hold a window where layers see no more', () => {
    const { adapter } = context.device;
    const [B, T, window] = [2, 100, 8];
    const long = { ...config, maxPositionEmbeddings: 128 };
    const held = (model: ModelConfig) =>
      listPlans(adapter, { what: 'decode', config: model, settings: { B, T } }, {}).persistentBytes;
    const ofPositions = (count: number) => 2 * 4 * B * config.numKeyValueHeads * config.headDim * count;
    const local = { slidingWindow: window };
    expect(held(long) - held({ ...long, ...local })).toBe(2 * ofPositions(T - window));
    expect(held({ ...long, slidingWindow: T })).toBe(held(long));
    const gemma = { ...long, ...traitsOf('gemma3'), numHiddenLayers: 4 };
    const mixed = { ...gemma, ...local, slidingWindowPattern: 4, ropeLocalBaseFreq: 100 };
    const wide = { ...mixed, slidingWindow: T };
    expect(held(wide) - held(mixed)).toBe(3 * ofPositions(T - window));
  });
});
