/** A whole training step: forward, backward, clipping and AdamW, on random tokens. */
import type { Device } from '../../src/gpu/device.js';
import type { VariantTable } from '../../src/kernels/variants.js';
import type { ModelConfig } from '../../src/model/config.js';
import { initialWeights } from '../../src/model/init.js';
import type { BatchShape } from '../../src/model/llama.js';
import { Model } from '../../src/model/model.js';
import {
  attentionFlopsPerToken,
  countParameters,
  flopsPerToken,
  type ParameterSpec,
  parameterSpecs,
} from '../../src/model/parameters.js';
import type { ModelSize } from '../../src/model/presets.js';
import type { Precision } from '../../src/model/tensors.js';
import { U } from '../../src/numerics/bounds.js';
import { llama } from '../../src/numerics/llama.js';
import { Random } from '../../src/random.js';
import { GradientPass, lossAndGradients } from '../../src/train/gradients.js';
import { Trainer } from '../../src/train/step.js';
import { latest } from '../latest.js';
import type { Work } from '../work.js';

export const OPTIMIZER = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
export const LEARNING_RATE = 1e-3;
/** FLOPs that a check may take in float64: about a second. */
const CHECKED_FLOPS = 1e9;

/** What a step asks of the host and the device. */
export interface StepCosts {
  readonly dispatches: number;
  readonly submits: number;
  /** Buffers that were made after the second step. */
  readonly buffersAfterStep2: number;
  /** The most that weights, gradients, optimizer state, activations and readback took together. */
  readonly peakBytes: number;
}

export interface StepWork extends Work {
  readonly tokens: number;
  /** Of the first steps, one for each batch. */
  readonly losses: readonly number[];
  readonly parameters: number;
  readonly costs: StepCosts;
  /** Bytes of activations, their gradients and scratch. */
  readonly activationBytes: number;
  /** Milliseconds that the host took to write, encode and submit each step so far, before any waiting. */
  readonly submitTimes: readonly number[];
}

/** A LLaMA of this size, with as many key and value heads as heads. */
export function modelConfig(size: ModelSize, vocabSize: number, tied: boolean, T: number): ModelConfig {
  return {
    ...size,
    vocabSize,
    numKeyValueHeads: size.numAttentionHeads,
    headDim: size.hiddenSize / size.numAttentionHeads,
    rmsNormEps: 1e-5,
    ropeTheta: 10_000,
    tieWordEmbeddings: tied,
    maxPositionEmbeddings: T,
  };
}

/** Sequences [B, T+1] of random ids, one batch a step. */
export function batchOf(config: ModelConfig, { B, T }: BatchShape, step: number): Uint32Array<ArrayBuffer> {
  const random = new Random(0, 'tokens', step);
  return Uint32Array.from({ length: B * (T + 1) }, () => random.integer(config.vocabSize));
}

const weights = latest<ReadonlyMap<string, Float32Array>>();
const references = latest<ReturnType<typeof llama>>();

/** The weights that every work of a model begins with. */
function weightsOf(config: ModelConfig): (spec: ParameterSpec) => Float32Array {
  const all = weights(JSON.stringify(config), () => {
    const make = initialWeights(config, 0);
    return new Map(parameterSpecs(config).map(spec => [spec.name, make(spec)]));
  });
  return ({ name }) => all.get(name)!;
}

/** FLOPs of a step: 6·N a token, and attention's causal half. */
export const stepFlops = (config: ModelConfig, { B, T }: BatchShape): number =>
  (flopsPerToken(config) + attentionFlopsPerToken(config, T)) * B * T;

export interface StepOptions {
  readonly kind?: string;
  readonly name?: string;
  /** Of the first steps; three times the same one unless given. */
  readonly batches?: readonly Uint32Array[];
  readonly precision?: Precision;
  /** The shipped ones unless given. */
  readonly variants?: VariantTable | undefined;
}

export async function stepWork(
  device: Device,
  config: ModelConfig,
  shape: BatchShape,
  { kind = 'step', name = 'step', batches, precision = 'f32', variants }: StepOptions = {},
): Promise<StepWork> {
  const { B, T } = shape;
  const before = device.memory.bytes;
  const model = await Model.create(device, config, weightsOf(config), { precision, variants });
  let trainer: Trainer | undefined;
  const destroy = () => {
    trainer?.destroy();
    model.destroy();
  };
  try {
    const check = await verifyModel(model, name, shape);
    const training = await Trainer.create(model, { ...shape, microBatches: 1, optimizer: OPTIMIZER });
    trainer = training;
    const batch = batchOf(config, shape, 0);
    const submitTimes: number[] = [];
    const losses: number[] = [];
    for (const given of batches ?? [batch, batch, batch]) {
      losses.push((await training.trainStep(given, LEARNING_RATE)).loss);
    }
    if (!losses.every(Number.isFinite) || (!batches && !(losses.at(-1)! < losses[0]!))) {
      throw new Error(`${name}: the losses of the first steps are ${losses.join(', ')}, so it is not timed`);
    }
    const counted = { ...device.counters };
    training.submit(batch, LEARNING_RATE);
    const { submits, dispatches } = device.counters;
    await training.reports();
    return {
      name,
      kind,
      precision,
      flops: stepFlops(config, shape),
      bytes: stepBytes(config),
      rate: 'flops',
      check,
      losses,
      perRun: 1,
      tokens: B * T,
      parameters: countParameters(config).total,
      activationBytes: training.planBytes,
      costs: {
        dispatches: dispatches - counted.dispatches,
        submits: submits - counted.submits,
        buffersAfterStep2: device.counters.buffers - counted.buffers,
        peakBytes: device.memory.bytes - before,
      },
      submitTimes,
      async run(times = 1) {
        for (let i = 0; i < times; i++) {
          const started = performance.now();
          training.submit(batch, LEARNING_RATE);
          submitTimes.push(performance.now() - started);
          await training.reports();
        }
      },
      ...(device.adapter.features.includes('timestamp-query') && {
        async gpuTime() {
          const times = await device.time(training.program);
          return times.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
        },
      }),
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** Forward and backward of one batch, without an optimizer: checked as a step is. */
export async function gradientWork(
  device: Device,
  config: ModelConfig,
  shape: BatchShape,
  { kind = 'gradient', name = 'forward + backward', precision = 'f32', variants }: Omit<StepOptions, 'batches'> = {},
): Promise<Work & { readonly tokens: number; readonly peakBytes: number }> {
  const before = device.memory.bytes;
  const model = await Model.create(device, config, weightsOf(config), { precision, variants });
  let pass: GradientPass | undefined;
  const destroy = () => {
    pass?.destroy();
    model.destroy();
  };
  try {
    const check = await verifyModel(model, name, shape);
    const made = await GradientPass.create(model, shape);
    pass = made;
    const batch = batchOf(config, shape, 0);
    return {
      name,
      kind,
      precision,
      flops: stepFlops(config, shape),
      bytes: 2 * 4 * countParameters(config).total,
      rate: 'flops',
      check,
      perRun: 1,
      tokens: shape.B * shape.T,
      peakBytes: device.memory.bytes - before,
      async run(times = 1) {
        for (let i = 0; i < times; i++) {
          made.submit(batch);
          await device.idle();
        }
      },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** Weights, gradients and moments: read or written by forward, backward and update at least this often. */
const stepBytes = (config: ModelConfig): number => 10 * 4 * countParameters(config).total;

/**
 * Loss and all gradients of the model on one sequence, as long as a second's float64 arithmetic allows, against the
 * reference. Roundings add up along the depth: 40 u of a tensor's scale a layer is a generous allowance (up to 8 were
 * seen), in f16 two of its 2^-11, and a wrong kernel misses it by orders of magnitude.
 */
async function verifyModel(model: Model, name: string, { T }: BatchShape): Promise<string> {
  const { config } = model;
  const perToken = flopsPerToken(config) + attentionFlopsPerToken(config, T);
  const length = Math.max(2, Math.min(T, Math.floor(CHECKED_FLOPS / perToken)));
  const sequence = batchOf(config, { B: 1, T: length }, 0);
  const { loss, gradients } = await lossAndGradients(model, sequence, { B: 1, T: length });
  const expected = references(`${JSON.stringify(config)} ${length}`, () => {
    const weights = new Map<string, Float64Array>();
    for (const spec of model.specs) weights.set(spec.name, Float64Array.from(weightsOf(config)(spec)));
    return llama(config, weights, sequence.subarray(0, -1), sequence.subarray(1), length);
  });
  let worst = Math.abs(loss - expected.loss) / expected.loss;
  for (const [parameter, reference] of expected.gradients) {
    const actual = gradients.get(parameter)!;
    let [error, scale] = [0, 0];
    reference.forEach((value, i) => {
      const difference = Math.abs(value - actual[i]!);
      if (!(difference <= error)) error = difference;
      scale = Math.max(scale, Math.abs(value));
    });
    const relative = error / scale;
    if (!(relative <= worst)) worst = relative;
  }
  const { numHiddenLayers: layers } = config;
  const bound = model.precision === 'f16' ? Math.max(20, 2 * layers) * 2 ** -11 : Math.max(100, 40 * layers) * U;
  if (!(worst <= bound)) {
    throw new Error(`${name}: loss or gradients are off by ${worst} of their scale, so the step is not timed`);
  }
  return `loss, gradients: worst at ${(worst / bound).toPrecision(2)} of the float64 bound`;
}
