/** A whole training step: forward, backward, clipping and AdamW, on random tokens. */
import type { Device } from '../src/gpu/device.js';
import { attentionFlopsPerToken, countParameters, flopsPerToken, type ModelConfig } from '../src/model/config.js';
import { initialWeights } from '../src/model/init.js';
import type { BatchShape } from '../src/model/llama.js';
import { Model } from '../src/model/model.js';
import { Random } from '../src/random.js';
import { Trainer } from '../src/train/step.js';
import type { Work } from './work.js';

export interface StepWork extends Work {
  readonly tokens: number;
  readonly parameters: number;
  readonly dispatches: number;
  /** Milliseconds that the host took to write, encode and submit each step so far, before any waiting. */
  readonly submitTimes: readonly number[];
}

export async function stepWork(device: Device, config: ModelConfig, shape: BatchShape): Promise<StepWork> {
  const { B, T } = shape;
  const model = await Model.create(device, config, initialWeights(config, 0));
  const optimizer = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
  const trainer = await Trainer.create(model, { ...shape, microBatches: 1, optimizer });
  const random = new Random(0, 'tokens');
  const sequences = Uint32Array.from({ length: B * (T + 1) }, () => random.integer(config.vocabSize));
  const submitTimes: number[] = [];
  return {
    name: 'step',
    flops: (flopsPerToken(config) + attentionFlopsPerToken(config, T)) * B * T,
    perRun: 1,
    tokens: B * T,
    parameters: countParameters(config).total,
    dispatches: trainer.program.filter(({ kind }) => kind === 'dispatch').length,
    submitTimes,
    async run() {
      const started = performance.now();
      trainer.submit(sequences, 1e-4);
      submitTimes.push(performance.now() - started);
      await trainer.reports();
    },
    async gpuTime() {
      const times = await device.time(trainer.program);
      return times.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    },
    destroy() {
      trainer.destroy();
      model.destroy();
    },
  };
}
