/** What gradients, weights and updates look like after a step: the health of a run at that step. */
import { Graph } from '../autograd/graph.js';
import { type Plan, plan } from '../autograd/plan.js';
import { persistent, sizeOf, type Tensor } from '../autograd/tensor.js';
import { UserError } from '../errors.js';
import {
  HEALTH_WORDS,
  healthParts,
  readTensorHealth,
  type TensorHealth,
  tensorHealth,
  updateHealth,
} from '../kernels/tensor-health.js';
import { readStepHealth } from '../optim/adamw.js';
import type { Trainer } from './step.js';

/** A parameter (or several that are kept together) after a step. */
export interface ParameterHealth {
  readonly name: string;
  readonly weight: TensorHealth;
  /** The gradient before clipping, and without the loss scale. */
  readonly gradient: TensorHealth;
  /** The root mean square of the gradient over that of the weights, 1 + weight in such norms; 0 where all are 0. */
  readonly gradientToWeight: number;
  /** The root mean square of AdamW's step without decay over that of the weights. */
  readonly updateToWeight: number;
  /** Whether the run keeps these weights for now, so that nothing moves them. */
  readonly frozen?: boolean | undefined;
}

export interface HealthLine {
  readonly kind: 'health';
  readonly step: number;
  readonly lossScale: number;
  readonly parameters: readonly ParameterHealth[];
}

/**
 * Looks at the parameters that a trainer trains. It is traced once, reads everything in one go, and changes nothing.
 * Free it with `destroy`.
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

  /** @throws UserError when moments are kept in host memory. */
  static async create(trainer: Trainer): Promise<HealthProbe> {
    if (trainer.settings.offload === 'moments') {
      throw new UserError('health is seen from moments on the device: leave out offload, or health');
    }
    const { device, variants } = trainer.model;
    const { parameters, stepHealth } = trainer.state;
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
      const { tensor, moments } = parameters.get(name)!;
      if (!moments) throw new Error(`the moments of '${name}' are not on the device`);
      const { gradient } = tensor;
      const each = healthParts(count);
      graph.add({
        op: 'tensor_health',
        inputs: [tensor, gradient!, ...Object.values(moments), stepHealth],
        outputs: [],
        updates: [report],
        launch: (table, bind) => [
          ...tensorHealth(table, count, first, { x: bind(tensor), report: bind(report) }),
          ...tensorHealth(table, count, first + each, { x: bind(gradient!), report: bind(report) }),
          ...updateHealth(table, count, first + 2 * each, eps, {
            health: bind(stepHealth),
            report: bind(report),
            moments:
              'codes' in moments
                ? { codes: bind(moments.codes), maxima: bind(moments.maxima) }
                : { m: bind(moments.m), v: bind(moments.v) },
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
    const { lossScale } = readStepHealth(await device.read(this.#trainer.state.stepHealth.buffer!), 0);
    const words = new Uint32Array(await device.read(this.#report.buffer!));
    const { step, state } = this.#trainer;
    const parameters = this.#places.map(({ name, count, first }): ParameterHealth => {
      const { rate, frozenSteps } = state.parameters.get(name)!.treatment;
      const frozen = step <= frozenSteps;
      const each = healthParts(count);
      const [weight, scaled, update] = [0, 1, 2].map(i => readTensorHealth(words, first + i * each, count)) as [
        TensorHealth,
        TensorHealth,
        TensorHealth,
      ];
      const gradient = { ...scaled, amax: scaled.amax / lossScale, rms: scaled.rms / lossScale };
      // norms by 1 + weight multiply by about 1, however small their weights are
      const hasOffset = this.#trainer.model.config.normUnitOffset && name.endsWith('norm.weight');
      const factor = hasOffset ? Math.hypot(1, weight.rms) : weight.rms;
      const over = (rms: number) => (factor > 0 ? rms / factor : 0);
      return {
        name,
        weight,
        gradient,
        gradientToWeight: over(gradient.rms),
        updateToWeight: frozen ? 0 : over(rate * learningRate * update.rms),
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
