/** Finds where a step stopped being finite: runs its batches again, every tensor kept, and looks at them in order. */
import { backward } from '../autograd/backward.js';
import { Graph } from '../autograd/graph.js';
import { plan } from '../autograd/plan.js';
import { persistent, sizeOf, type Tensor } from '../autograd/tensor.js';
import { type BatchShape, type Model, traceLogits } from '../model/llama.js';
import { crossEntropy } from '../ops/cross-entropy.js';
import { BatchInputs, packSequences } from './batch.js';

export interface NonFinite {
  /** For instance 'model.layers.2.mlp.down_proj.linear', or a gradient's name. */
  readonly tensor: string;
  readonly index: number;
  readonly value: number;
}

/**
 * @param sequences [n*B, T+1], the batch of the step.
 * @returns the first value that is not finite, in the order of computation: weights, forward, backward; undefined where
 *   everything is finite (the sum of squares of the gradients overflowed, say).
 */
export async function locateNonFinite(
  model: Model,
  sequences: Uint32Array,
  shape: BatchShape,
): Promise<NonFinite | undefined> {
  for (const { name } of model.specs) {
    const found = firstNonFinite(name, await model.read(name));
    if (found) return found;
  }
  const { device } = model;
  const inputs = new BatchInputs(device, shape);
  const packed = device.createBuffer('packed batch', 4 * inputs.words);
  const weights = new Map(
    model.specs.map(({ name, shape: dimensions }): [string, Tensor] => {
      const label = `gradient of ${name}`;
      const gradient = persistent(label, dimensions, device.createBuffer(label, 4 * sizeOf(dimensions)));
      return [name, { ...model.weight(name), gradient }];
    }),
  );
  const graph = new Graph();
  const logits = traceLogits(graph, model, name => weights.get(name)!, inputs.tokens, shape);
  backward(graph, crossEntropy(graph, logits, inputs.targets, 1 / (shape.B * shape.T)));
  const planned = await plan(device, graph, { keepAll: true });
  try {
    const length = shape.B * (shape.T + 1);
    for (let start = 0; start < sequences.length; start += length) {
      const batch = sequences.subarray(start, start + length);
      device.write(packed, packSequences(batch, shape, 1, model.config.vocabSize));
      device.submit([...inputs.load(packed, 0), ...planned.commands]);
      for (const node of planned.nodes) {
        for (const tensor of [...node.results, ...(node.updates ?? [])]) {
          const values = new Float32Array(await device.read(planned.bufferOf(tensor), 0, 4 * sizeOf(tensor.shape)));
          const found = firstNonFinite(tensor.name, values);
          if (found) return found;
        }
      }
    }
    return undefined;
  } finally {
    planned.destroy();
    inputs.destroy();
    packed.destroy();
    for (const { gradient } of weights.values()) gradient!.buffer!.destroy();
  }
}

function firstNonFinite(tensor: string, values: Float32Array): NonFinite | undefined {
  const index = values.findIndex(value => !Number.isFinite(value));
  return index < 0 ? undefined : { tensor, index, value: values[index]! };
}
