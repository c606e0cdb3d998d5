/**
 * babelgrad's public interface: open a device, load or make a model, get logits, loss and gradients, train, save.
 *
 * @example
 * const device = await openDevice();
 * const model = await createModel(device, config, { seed: 1 });
 * const trainer = await Trainer.create(model, { B: 8, T: 128, microBatches: 1, optimizer });
 * const { loss } = await trainer.trainStep(sequences, 1e-3);
 * await saveModel(model, 'my-model');
 * trainer.destroy();
 * model.destroy();
 * device.close();
 */

import { Evaluator } from './eval/loss.js';
import { writeFolderWhole } from './files.js';
import type { Device } from './gpu/device.js';
import type { ModelConfig } from './model/config.js';
import { initialWeights } from './model/init.js';
import { type BatchShape, Model } from './model/llama.js';
import { writeModel } from './train/model-folder.js';

export { UserError } from './errors.js';
export { Evaluator, logits, sequencesOf } from './eval/loss.js';
export { type AdapterDescription, listAdapters } from './gpu/adapters.js';
export { type Counters, Device, type DeviceOptions, openDevice } from './gpu/device.js';
export { countParameters, flopsPerToken, type ModelConfig, parameterSpecs } from './model/config.js';
export { type BatchShape, Model } from './model/llama.js';
export { presetNames, presetSize } from './model/presets.js';
export type { OptimizerSettings, StepHealth } from './optim/adamw.js';
export { learningRateAt, type ScheduleSettings } from './optim/schedule.js';
export { lossAndGradients } from './train/gradients.js';
export { loadModel } from './train/model-folder.js';
export { Trainer, type TrainerSettings } from './train/step.js';

/** A model with random weights. @throws UserError when the configuration is not sound. */
export function createModel(device: Device, config: ModelConfig, { seed }: { seed: number }): Promise<Model> {
  return Model.create(device, config, initialWeights(config, seed));
}

/** Writes a model folder (config.json, model.safetensors, tokenizer.json where given), whole or not at all. */
export function saveModel(model: Model, folder: string, tokenizerJson?: string): Promise<void> {
  return writeFolderWhole(folder, target => writeModel(model, target, tokenizerJson));
}

/** Mean loss in nats over sequences [B, T+1]. */
export async function loss(model: Model, sequences: Uint32Array, shape: BatchShape): Promise<number> {
  const evaluator = await Evaluator.create(model, shape);
  try {
    const { nats, tokens } = await evaluator.loss(sequences);
    return nats / tokens;
  } finally {
    evaluator.destroy();
  }
}
