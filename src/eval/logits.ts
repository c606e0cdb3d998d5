/** Logits of a model. */
import { Graph } from '../autograd/graph.js';
import { plan } from '../autograd/plan.js';
import { BatchInputs, type BatchOptions, checkBatch, checkDocumentEnd } from '../model/batch.js';
import { type BatchShape, traceLogits } from '../model/llama.js';
import type { Model } from '../model/model.js';

/**
 * Returns the logits [B, T, V] for token ids [B, T]. With `documentEnd`, the id that ends a document, a token sees its
 * own document alone.
 * @throws UserError when ids or shape are not sound, or the model was destroyed.
 * @example
 * import { createModel, logits, openDevice } from 'babelgrad';
 *
 * const device = await openDevice();
 * const model = await createModel(device, { preset: 'tiny', vocabSize: 10 });
 * const values = await logits(model, Uint32Array.of(1, 2, 3), { B: 1, T: 3 }); // [1, 3, 10]
 * console.log(values.subarray(-10)); // of what follows the last id
 */
export async function logits(
  model: Model,
  ids: Uint32Array,
  shape: BatchShape,
  { documentEnd }: Pick<BatchOptions, 'documentEnd'> = {},
): Promise<Float32Array> {
  const { B, T } = shape;
  checkBatch(model, ids, shape, 0);
  const { device, config } = model;
  checkDocumentEnd(documentEnd, config.vocabSize);
  const inputs = new BatchInputs(device, shape, { documentEnd });
  const packed = device.createBuffer('packed ids', 4 * inputs.words);
  const graph = new Graph();
  const tensor = traceLogits(graph, model, inputs, shape);
  const planned = await plan(device, graph, { keep: [tensor], variants: model.variants });
  const sequences = new Uint32Array(B * (T + 1));
  for (let b = 0; b < B; b++) sequences.set(ids.subarray(b * T, (b + 1) * T), b * (T + 1));
  device.write(packed, inputs.pack(sequences, 1, config.vocabSize));
  device.submit([...inputs.load(packed, 0), ...planned.commands]);
  const values = new Float32Array(await device.read(planned.rangeOf(tensor).buffer, 0, 4 * B * T * config.vocabSize));
  planned.destroy();
  inputs.destroy();
  packed.destroy();
  return values;
}
