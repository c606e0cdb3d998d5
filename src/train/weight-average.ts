/** The running average of the weights that a trainer steps (see `optim/average.ts`). */
import type { Arena } from '../autograd/arena.js';
import { type Plan, plan } from '../autograd/plan.js';
import { UserError } from '../errors.js';
import type { Model } from '../model/model.js';
import type { TracedStep } from './traced-step.js';

/** Checks β. @throws UserError when it is no decay. */
export function checkDecay(emaDecay: number | undefined): void {
  if (emaDecay === undefined || (emaDecay > 0 && emaDecay < 1)) return;
  throw new UserError(`emaDecay is ${emaDecay}; it must be above 0 and below 1, 0.999 say`);
}

export class WeightAverage {
  readonly #model: Model;
  readonly #average: Arena;
  /** Lets the weights and their average change places. */
  readonly #swap: Plan;

  private constructor(model: Model, average: Arena, swap: Plan) {
    this.#model = model;
    this.#average = average;
    this.#swap = swap;
  }

  /** Begins the average of a traced step, if it has one, as the weights are now. */
  static async create(model: Model, { average, swap }: TracedStep): Promise<WeightAverage | undefined> {
    if (!average) return undefined;
    const { device, variants, weights } = model;
    const planned = await plan(device, swap, { variants });
    device.submit(
      average.buffers.map((buffer, i) => {
        const { sizeBytes } = buffer;
        const from = { buffer: weights.buffers[i]!, offsetBytes: 0, sizeBytes };
        return { kind: 'copy', from, to: { buffer, offsetBytes: 0, sizeBytes } };
      }),
    );
    return new WeightAverage(model, average, planned);
  }

  /** Returns the average of a parameter, by Hugging Face name. */
  read(name: string): Promise<Float32Array> {
    return this.#model.readPart(name, group => this.#average.tensor(group));
  }

  /** Puts back the average, to go on where a run stopped. */
  restore(valuesOf: (name: string) => Float32Array): void {
    for (const { name } of this.#model.specs) {
      this.#model.writePart(name, group => this.#average.tensor(group), valuesOf(name));
    }
  }

  /** Runs `body` while the model has the average for its weights. */
  async inPlace<Result>(body: () => Promise<Result>): Promise<Result> {
    const { device } = this.#model;
    device.submit(this.#swap.commands);
    try {
      return await body();
    } finally {
      device.submit(this.#swap.commands);
    }
  }

  destroy(): void {
    this.#swap.destroy();
  }
}
