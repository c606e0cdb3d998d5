/** The health of a run: what gradients, weights and updates look like at an interval, and what is wrong with that. */
import { Graph } from '../autograd/graph.js';
import { type Plan, plan } from '../autograd/plan.js';
import { persistent, sizeOf, type Tensor } from '../autograd/tensor.js';
import {
  HEALTH_WORDS,
  healthParts,
  readHealth,
  type TensorHealth,
  tensorHealth,
  updateHealth,
} from '../kernels/tensor-health.js';
import { readHealth as readStepHealth } from '../optim/adamw.js';
import type { Trainer } from './step.js';

/** A parameter (or several that are kept together) after a step. */
export interface ParameterHealth {
  readonly name: string;
  readonly weight: TensorHealth;
  /** The gradient before clipping, and without the loss scale. */
  readonly gradient: TensorHealth;
  /** The root mean square of the gradient over that of the weights; 0 for weights that are all 0. */
  readonly gradientToWeight: number;
  /** The root mean square of AdamW's step without decay over that of the weights. */
  readonly updateToWeight: number;
  /** Whether the run trains the embedding alone for now, so that nothing moves these weights. */
  readonly frozen?: boolean | undefined;
}

/** The file in the run's folder that has a HealthLine on each line. */
export const HEALTH_FILE = 'health.jsonl';

export interface HealthLine {
  readonly kind: 'health';
  readonly step: number;
  readonly lossScale: number;
  readonly parameters: readonly ParameterHealth[];
}

/** The limits beyond which a warning is given. */
export interface HealthLimits {
  /** Updates this large undo what was learnt; 1e-3 is usual. */
  readonly maxUpdateToWeight: number;
  /** Updates this small change nothing in f32. */
  readonly minUpdateToWeight: number;
  readonly maxGradientToWeight: number;
  /**
   * The share of a gradient's values that are 0: dead units, or underflow in f16. An embedding's rows may be unused.
   */
  readonly maxZeros: number;
  /** The share of a gradient's values below the smallest normal number. */
  readonly maxSubnormal: number;
  /** The loss scale in f16 below which little is left of small gradients. */
  readonly minLossScale: number;
}

/** How a run watches itself. */
export interface HealthOptions {
  /** The number of steps from one look to the next. */
  readonly every: number;
  readonly limits: HealthLimits;
}

export const HEALTH_LIMITS: HealthLimits = {
  maxUpdateToWeight: 0.1,
  minUpdateToWeight: 1e-7,
  maxGradientToWeight: 100,
  maxZeros: 0.5,
  maxSubnormal: 0.01,
  minLossScale: 16,
};

/**
 * Looks at a trainer's parameters. It is traced once, reads everything in one go, and changes nothing. Free it with
 * `destroy`.
 */
export class HealthProbe {
  readonly #trainer: Trainer;
  readonly #plan: Plan;
  readonly #report: Tensor;
  readonly #places: readonly { readonly name: string; readonly count: number; readonly first: number }[];

  private constructor(
    trainer: Trainer,
    made: { plan: Plan; report: Tensor; places: { name: string; count: number; first: number }[] },
  ) {
    this.#trainer = trainer;
    this.#plan = made.plan;
    this.#report = made.report;
    this.#places = made.places;
  }

  static async create(trainer: Trainer): Promise<HealthProbe> {
    const { device, variants } = trainer.model;
    const { parameters, health } = trainer.state;
    let parts = 0;
    const places = [...parameters].map(([name, { tensor }]) => {
      const [count, first] = [sizeOf(tensor.shape), parts];
      parts += 3 * healthParts(count);
      return { name, count, first };
    });
    const words = HEALTH_WORDS * parts;
    const report = persistent('health report', [words], device.createBuffer('health report', 4 * words), 'u32');
    const { eps } = trainer.settings.optimizer;
    const graph = new Graph();
    for (const { name, count, first } of places) {
      const { tensor, m, v } = parameters.get(name)!;
      const { gradient } = tensor;
      const each = healthParts(count);
      graph.add({
        op: 'tensor_health',
        inputs: [tensor, gradient!, m, v, health],
        outputs: [],
        updates: [report],
        launch: (table, bind) => [
          ...tensorHealth(table, count, first, { x: bind(tensor), report: bind(report) }),
          ...tensorHealth(table, count, first + each, { x: bind(gradient!), report: bind(report) }),
          ...updateHealth(table, count, first + 2 * each, eps, {
            health: bind(health),
            m: bind(m),
            v: bind(v),
            report: bind(report),
          }),
        ],
      });
    }
    return new HealthProbe(trainer, { plan: await plan(device, graph, { variants }), report, places });
  }

  /** Looks at what the last submitted step left; `learningRate` is that step's. */
  async measure(learningRate: number): Promise<HealthLine> {
    const { device } = this.#trainer.model;
    device.submit(this.#plan.commands);
    const { lossScale } = readStepHealth(await device.read(this.#trainer.state.health.buffer!), 0);
    const words = new Uint32Array(await device.read(this.#report.buffer!));
    const { step, settings, state } = this.#trainer;
    const isEarly = step <= (settings.frozenSteps ?? 0);
    const parameters = this.#places.map(({ name, count, first }): ParameterHealth => {
      const frozen = isEarly && state.parameters.get(name)!.schedule !== undefined;
      const each = healthParts(count);
      const [weight, scaled, update] = [0, 1, 2].map(i => readHealth(words, first + i * each, count)) as [
        TensorHealth,
        TensorHealth,
        TensorHealth,
      ];
      const gradient = { ...scaled, amax: scaled.amax / lossScale, rms: scaled.rms / lossScale };
      const over = (rms: number) => (weight.rms > 0 ? rms / weight.rms : 0);
      return {
        name,
        weight,
        gradient,
        gradientToWeight: over(gradient.rms),
        updateToWeight: frozen ? 0 : over(learningRate * update.rms),
        ...(frozen && { frozen }),
      };
    });
    return { kind: 'health', step: this.#trainer.step, lossScale, parameters };
  }

  destroy(): void {
    this.#plan.destroy();
    this.#report.buffer!.destroy();
  }
}

/** Says in words what is beyond a limit. */
export const healthWarnings = (line: HealthLine, limits: HealthLimits): string[] => [
  ...parameterWarnings(line, limits),
  ...lossScaleWarnings(line, limits),
];

/** Warns of a small loss scale. f32 runs have a loss scale of 1. */
export function lossScaleWarnings(
  { step, lossScale }: Pick<HealthLine, 'step' | 'lossScale'>,
  { minLossScale }: HealthLimits,
): string[] {
  if (lossScale === 1 || lossScale >= minLossScale) return [];
  return [`step ${step}: the loss scale is ${lossScale} (at least ${minLossScale})`];
}

export function parameterWarnings({ step, parameters }: HealthLine, limits: HealthLimits): string[] {
  const warnings: string[] = [];
  const warn = (name: string, what: string, value: number, limit: string) =>
    warnings.push(`step ${step}: ${name}: ${what} is ${Number(value.toPrecision(3))} (${limit})`);
  for (const { name, weight, gradient, gradientToWeight, updateToWeight, frozen } of parameters) {
    const { maxUpdateToWeight, minUpdateToWeight, maxGradientToWeight, maxZeros, maxSubnormal } = limits;
    for (const [kind, { nonFinite }] of [
      ['weights', weight],
      ['gradients', gradient],
    ] as const) {
      if (nonFinite > 0) warn(name, `the number of ${kind} that are not finite`, nonFinite, 'at most 0');
    }
    if (updateToWeight > maxUpdateToWeight)
      warn(name, 'update to weight', updateToWeight, `at most ${maxUpdateToWeight}`);
    // right after the start the learning rate warms up from nothing, and weights may be 0
    if (updateToWeight < minUpdateToWeight && weight.rms > 0 && !frozen) {
      warn(name, 'update to weight', updateToWeight, `at least ${minUpdateToWeight}`);
    }
    if (gradientToWeight > maxGradientToWeight) {
      warn(name, 'gradient to weight', gradientToWeight, `at most ${maxGradientToWeight}`);
    }
    if (gradient.zeros > maxZeros && !name.includes('embed_tokens')) {
      warn(name, 'the share of gradients that are 0', gradient.zeros, `at most ${maxZeros}`);
    }
    if (gradient.subnormal > maxSubnormal) {
      warn(name, 'the share of subnormal gradients', gradient.subnormal, `at most ${maxSubnormal}`);
    }
  }
  return warnings;
}
