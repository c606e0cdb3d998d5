/** How two ways of computing the same run come apart: f32 and f16, two adapters, or an adapter and float64. */
import { findModelFolder } from '../checkpoint/find.js';
import { readModelConfig } from '../checkpoint/hf-config.js';
import { loadModel, openModel } from '../checkpoint/model-folder.js';
import { UserError } from '../errors.js';
import type { Device } from '../gpu/device.js';
import { flopsPerToken, parameterSpecs } from '../model/parameters.js';
import type { Precision } from '../model/tensors.js';
import { llama, type Weights } from '../numerics/llama.js';
import { adamw, globalNorm } from '../numerics/reference.js';
import { learningRateAt } from '../optim/schedule.js';
import { readRunConfig } from '../run/folder.js';
import { mixtureOf } from '../run/mixture.js';
import { openData } from '../run/run-data.js';
import { Trainer } from '../train/step.js';
import type { TrainerSettings } from '../train/traced-step.js';

type Values = ReadonlyMap<string, ArrayLike<number>>;

/** A step as one of the two made it. */
interface Made {
  readonly loss: number;
  readonly gradients: Values;
  readonly weights: Values;
}

interface Side {
  readonly name: string;
  step(sequences: Uint32Array, learningRate: number): Promise<Made>;
  destroy(): void;
}

/** Distances after a step: of the loss, relative; of gradients and weights, ‖a − b‖ / ‖b‖ over all parameters. */
export interface DriftLine {
  readonly step: number;
  readonly loss: number;
  readonly gradients: number;
  readonly weights: number;
}

export interface Drift {
  readonly a: string;
  readonly b: string;
  readonly lines: readonly DriftLine[];
}

/** Where a side runs: on a device with a precision, or in float64 on the host. */
export type SideOptions = { readonly device: Device; readonly precision: Precision } | 'float64';

/** The FLOPs for which the plain loops of the float64 reference take minutes. */
const MOST_FLOPS = 2e11;

/**
 * Trains the model of a run's latest checkpoint for some steps twice, on the run's own data, with a new optimizer and
 * one micro-batch a step.
 * @throws UserError when the folder holds no run or no checkpoint, or the run is too large for float64.
 */
export async function driftOf(folder: string, steps: number, a: SideOptions, b: SideOptions): Promise<Drift> {
  const run = readRunConfig(folder);
  if (run.lora) throw new UserError(`'${folder}' trains adapters: drift is measured of runs that train their model`);
  const model = findModelFolder(folder);
  const { microBatch: B, contextLength: T, optimizer } = run;
  const shape = { B, T, microBatches: 1, optimizer };
  const flops = flopsPerToken(readModelConfig(model)) * B * T * steps;
  const data = openData(run.sources, run.heldOut);
  const sides: Side[] = [];
  try {
    for (const options of [a, b]) {
      if (options !== 'float64') sides.push(await onDevice(model, shape, options));
      else if (flops <= MOST_FLOPS) sides.push(inFloat64(model, shape));
      else {
        throw new UserError(
          `${steps} steps of '${folder}' take ${flops.toExponential(1)} FLOPs, ` +
            `and float64 on the host ${MOST_FLOPS.toExponential(1)} at most; give fewer --steps or a smaller model`,
        );
      }
    }
    const mixture = mixtureOf(run, data);
    const [first, second] = sides as [Side, Side];
    const lines: DriftLine[] = [];
    for (let step = 1; step <= steps; step++) {
      const sequences = mixture.next(B);
      const learningRate = learningRateAt(run.schedule, step, run.steps);
      const [one, other] = [await first.step(sequences, learningRate), await second.step(sequences, learningRate)];
      lines.push({
        step,
        loss: Math.abs(one.loss / other.loss - 1),
        gradients: distance(one.gradients, other.gradients),
        weights: distance(one.weights, other.weights),
      });
    }
    return { a: first.name, b: second.name, lines };
  } finally {
    for (const side of sides) side.destroy();
    data.close();
  }
}

async function onDevice(
  folder: string,
  settings: TrainerSettings,
  { device, precision }: Exclude<SideOptions, 'float64'>,
): Promise<Side> {
  const model = await loadModel(device, folder, { precision });
  const trainer = await Trainer.create(model, settings).catch(error => {
    model.destroy();
    throw error;
  });
  return {
    name: `${precision} on ${device.adapter.name}`,
    async step(sequences, learningRate) {
      const { loss, lossScale } = await trainer.trainStep(sequences, learningRate);
      const scaled = await trainer.gradients();
      const gradients = new Map([...scaled].map(([name, values]) => [name, values.map(value => value / lossScale)]));
      const weights = new Map<string, Float32Array>();
      for (const { name } of model.specs) weights.set(name, await model.read(name));
      return { loss, gradients, weights };
    },
    destroy() {
      trainer.destroy();
      model.destroy();
    },
  };
}

function inFloat64(folder: string, { B, T, optimizer }: TrainerSettings): Side {
  const { config, weights: file } = openModel(folder);
  const specs = parameterSpecs(config);
  const weights: Weights = new Map();
  try {
    for (const spec of specs) weights.set(spec.name, Float64Array.from(file.read(spec)));
  } finally {
    file.close();
  }
  const zeros = () => new Map([...weights].map(([name, { length }]) => [name, new Float64Array(length)]));
  const [m, v] = [zeros(), zeros()];
  let step = 0;
  return {
    name: 'float64',
    step: async (sequences, lr) => {
      step++;
      const rows = Array.from({ length: B }, (_, b) => [...sequences.subarray(b * (T + 1), (b + 1) * (T + 1))]);
      const [ids, targets] = [rows.flatMap(row => row.slice(0, -1)), rows.flatMap(row => row.slice(1))];
      const { loss, gradients } = llama(config, weights, ids, targets, T);
      const clipFactor = optimizer.clip > 0 ? Math.min(1, optimizer.clip / globalNorm(gradients.values())) : 1;
      for (const { name, decay } of specs) {
        const state = { parameter: weights.get(name)!, m: m.get(name)!, v: v.get(name)! };
        const weightDecay = decay ? optimizer.weightDecay : 0;
        adamw(state, gradients.get(name)!, { ...optimizer, lr, weightDecay, clipFactor, step });
      }
      return { loss, gradients, weights: new Map([...weights].map(([name, values]) => [name, values.slice()])) };
    },
    destroy() {},
  };
}

function distance(a: Values, b: Values): number {
  let [difference, size] = [0, 0];
  for (const [name, values] of b) {
    const others = a.get(name)!;
    for (let i = 0; i < values.length; i++) {
      difference += (others[i]! - values[i]!) ** 2;
      size += values[i]! ** 2;
    }
  }
  return Math.sqrt(difference / size);
}
