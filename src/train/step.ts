/**
 * A training step: micro-batches of forward and backward with gradients accumulated, then clipping and AdamW. It is one
 * program that was traced, planned and bound once. A step encodes and submits; it waits for nothing.
 */
import { type Plan, plan } from '../autograd/plan.js';
import { UserError } from '../errors.js';
import type { Command } from '../gpu/program.js';
import { checkBatch, checkDocumentEnd } from '../model/batch.js';
import type { Model } from '../model/model.js';
import type { ParameterSpec } from '../model/parameters.js';
import { ADAMW_DEFAULTS, firstScaler, type OptimizerSettings, type StepHealth, scheduleWords } from '../optim/adamw.js';
import { averageComplement } from '../optim/average.js';
import type { CodedMoments, Moments } from '../optim/moment-codes.js';
import { MomentStream } from './moment-stream.js';
import { type MomentSource, readCoded, readMoments, writeMoments } from './moments.js';
import { StepReports } from './step-reports.js';
import { sharesOfStep } from './token-weights.js';
import { TracedStep, type TrainerSettings } from './traced-step.js';
import { checkDecay, WeightAverage } from './weight-average.js';

/** What a trainer keeps beside moments: the state of loss scaling, and what steps are judged by. */
export interface TrainerState {
  readonly scaling?: Float32Array | undefined;
  readonly guard?: Uint32Array | undefined;
}

/** A batch, and how a step is made of it. */
export interface TrainerOptions extends Omit<TrainerSettings, 'microBatches' | 'optimizer'> {
  /** The number of micro-batches of B sequences that make an optimizer step; 1 by default. */
  readonly microBatches?: number | undefined;
  /** The optimizer's settings; those not given are as in `ADAMW_DEFAULTS`. */
  readonly optimizer?: Partial<OptimizerSettings> | undefined;
}

/**
 * Optimizer steps on a model, planned once. Free it with `destroy`.
 * @example
 * import { createModel, Mixture, openDevice, saveModel, TokenDataset, Trainer } from 'babelgrad';
 *
 * const device = await openDevice();
 * const data = TokenDataset.open('data/en');
 * const model = await createModel(device, { preset: 'tiny', vocabSize: data.index.vocabSize });
 * const trainer = await Trainer.create(model, { B: 4, T: 64, optimizer: { weightDecay: 0 } });
 * const batches = new Mixture([{ name: 'en', tokens: data, weight: 1 }], { seed: 0, contextLength: 64 });
 * for (let step = 0; step < 5; step++) {
 *   const { loss, gradientNorm } = await trainer.trainStep(batches.next(4), 1e-3);
 *   console.log(loss, gradientNorm);
 * }
 * await saveModel(model, 'model', data.tokenizerJson);
 * trainer.destroy();
 * model.destroy();
 * device.close();
 */
export class Trainer {
  readonly model: Model;
  readonly settings: TrainerSettings;
  /** The commands of a step, for profiling with `device.time`. */
  readonly program: readonly Command[];
  /**
   * What the program is made of: a micro-batch, which it repeats, and the update.
   * @internal
   */
  readonly plans: readonly Plan[];
  /**
   * The program without the update: gradients and loss.
   * @internal
   */
  readonly passes: readonly Command[];
  /** The running average of the weights, with `emaDecay`. */
  readonly average: WeightAverage | undefined;
  /** The number of optimizer steps made so far. */
  step = 0;
  readonly #traced: TracedStep;
  readonly #stream: MomentStream | undefined;
  readonly #reports: StepReports;

  private constructor(
    model: Model,
    settings: TrainerSettings,
    traced: TracedStep,
    [microBatch, update]: readonly [Plan, Plan],
    average: WeightAverage | undefined,
  ) {
    this.model = model;
    this.settings = settings;
    this.#traced = traced;
    this.average = average;
    this.plans = [microBatch, update];
    const program = traced.clear();
    for (let micro = 0; micro < settings.microBatches; micro++) {
      program.push(...traced.inputs.load(traced.packed, micro), ...microBatch.commands);
    }
    this.passes = program;
    this.program = [...program, ...update.commands];
    const { host } = traced.moments;
    this.#reports = new StepReports(model.device, traced);
    this.#stream = host && new MomentStream(model.device, update, host);
  }

  /**
   * Traces, plans and compiles the step. An average of weights begins as the weights are now.
   * @throws UserError when a size is not a whole number above 0, `emaDecay` is no decay, `documentEnd` no id, the model
   * was destroyed or made to be used only, or a buffer exceeds the adapter's limits (its name and the limit are said).
   */
  static async create(model: Model, options: TrainerOptions): Promise<Trainer> {
    const optimizer = { ...ADAMW_DEFAULTS, ...options.optimizer };
    const settings = { ...options, microBatches: options.microBatches ?? 1, optimizer };
    model.check();
    if (!model.trainable) {
      throw new UserError(
        'the model was loaded to be used, not trained (trainable: false); load it with trainable: true to train it',
      );
    }
    checkDecay(settings.emaDecay);
    checkDocumentEnd(settings.documentEnd, model.config.vocabSize);
    const { device } = model;
    const traced = new TracedStep(device, model, settings);
    let microBatch: Plan | undefined;
    let update: Plan | undefined;
    try {
      const { variants } = model;
      microBatch = await plan(device, traced.microBatch, { variants });
      update = await plan(device, traced.update, { variants });
      const average = await WeightAverage.create(model, traced);
      return new Trainer(model, settings, traced, [microBatch, update], average);
    } catch (error) {
      microBatch?.destroy();
      update?.destroy();
      traced.destroy();
      throw error;
    }
  }

  /**
   * The parameters with their gradients and moments by group, the loss, and what the last step reported of itself.
   * @internal
   */
  get state(): Pick<TracedStep, 'parameters' | 'moments' | 'stepHealth' | 'loss'> {
    return this.#traced;
  }

  /** The number of updates that the moments of the embedding have seen, with those of a run that they come from. */
  get updates(): number {
    return this.step + (this.settings.earlierUpdates ?? 0);
  }

  /** The parameters that are trained. */
  get trained(): readonly ParameterSpec[] {
    return this.model.specs.filter(({ name }) => this.#traced.parameters.has(this.model.place(name).group));
  }

  /** The number of updates that the moments of parameters have seen that are frozen for so many steps. */
  #updatesAfter(frozenSteps: number): number {
    return (this.settings.earlierUpdates ?? 0) + Math.max(0, this.step - frozenSteps);
  }

  /** The tokens that an optimizer step is trained on. */
  get tokensPerStep(): number {
    return this.settings.microBatches * this.settings.B * this.settings.T;
  }

  /** The bytes of activations, their gradients and scratch. */
  get planBytes(): number {
    return this.plans.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * Submits an optimizer step on sequences [microBatches*B, T+1] and returns at once; `reports` tells how it went.
   * @param weights [microBatches*B, T] of the ids that are predicted, all but the first of each sequence, for a trainer
   * that was made with `weighted`; by default all are 1. The loss is Σ w·nll / Σ w, and 0 where all weights are.
   * @throws UserError when ids, learning rate or weights are not sound, or the model was destroyed; Error when 64 steps
   * wait for `reports`.
   * @returns where moments are kept in host memory (`offload`), a promise to be awaited before the next step.
   */
  submit(sequences: Uint32Array, learningRate: number, weights?: Float32Array): Promise<void> | undefined {
    this.begin(sequences, learningRate, weights);
    return this.finish(this.passes);
  }

  /**
   * Writes what a step on sequences reads. Whoever runs its `passes` ends it with `finish`. `total` is the sum of the
   * weights of all that share the step; by default each has the same sum.
   * @internal
   */
  begin(sequences: Uint32Array, learningRate: number, weights?: Float32Array, total?: number): void {
    const { B, T, microBatches, optimizer, emaDecay } = this.settings;
    checkBatch(this.model, sequences, { B: microBatches * B, T });
    if (!(learningRate >= 0 && learningRate < Number.POSITIVE_INFINITY)) {
      throw new UserError(`learningRate is ${learningRate}; it must be a finite number from 0 on`);
    }
    this.#reports.check();
    this.#stream?.check();
    const { device, config } = this.model;
    const { inputs, packed, schedule, stages, averageRate } = this.#traced;
    const shares = sharesOfStep(this.settings, sequences, weights, total);
    device.write(packed, inputs.pack(sequences, microBatches, config.vocabSize, shares));
    this.step++;
    device.write(schedule.buffer!, scheduleWords(optimizer, this.step, learningRate, this.updates));
    for (const { frozenSteps, schedule: own } of stages) {
      const updates = this.step > frozenSteps ? this.#updatesAfter(frozenSteps) : 0;
      device.write(own.buffer!, scheduleWords(optimizer, updates, learningRate), own.offsetBytes);
    }
    if (averageRate) device.write(averageRate.buffer!, Float32Array.of(averageComplement(emaDecay!, this.step)));
  }

  /**
   * Submits what is still to be done `before` the update, and the update.
   * @internal
   */
  finish(before: readonly Command[] = []): Promise<void> | undefined {
    const report = this.#reports.keep();
    if (this.#stream) return this.#stream.submit(this.step, before, [report]);
    this.model.device.submit([...before, ...this.plans[1]!.commands, report]);
    return undefined;
  }

  /**
   * Makes an optimizer step on sequences [microBatches*B, T+1], with weights as `submit` takes them, and waits for it.
   * In a loop, `submit` and `reports` keep the device busier.
   * @throws UserError as `submit`.
   */
  async trainStep(sequences: Uint32Array, learningRate: number, weights?: Float32Array): Promise<StepHealth> {
    await this.submit(sequences, learningRate, weights);
    return (await this.reports()).at(-1)!;
  }

  /** The number of steps submitted since the last `reports`. */
  get unread(): number {
    return this.#reports.unread;
  }

  /** Waits for the submitted steps and returns what each reports, in order. */
  reports(): Promise<StepHealth[]> {
    return this.collect()();
  }

  /**
   * Collects the reports of the steps submitted so far, as `reports` does. Steps may be submitted before the function
   * that this returns is called.
   */
  collect(): () => Promise<StepHealth[]> {
    this.#stream?.check();
    return this.#reports.collect();
  }

  /**
   * Returns the gradients of the last step before clipping (in f16, times the loss scale) of the parameters that are
   * trained, by Hugging Face name.
   */
  async gradients(): Promise<Map<string, Float32Array>> {
    const gradients = new Map<string, Float32Array>();
    const { parameters } = this.#traced;
    for (const { name } of this.trained) {
      gradients.set(name, await this.model.readPart(name, group => parameters.get(group)!.tensor.gradient!));
    }
    return gradients;
  }

  /**
   * Returns the optimizer's moments of a parameter, by Hugging Face name; those in 8 bits are widened.
   * @throws UserError when it is frozen for good.
   */
  async moments(name: string): Promise<Moments> {
    await this.#stream?.settle();
    return readMoments(this.model, this.#traced.moments, name);
  }

  /**
   * Returns the moments of a group as they are kept in 8 bits.
   * @internal
   */
  async codedMoments(group: string): Promise<CodedMoments> {
    await this.#stream?.settle();
    return readCoded(this.model, this.#traced.moments, group);
  }

  /** Returns the state of dynamic loss scaling (see `firstScaler`); undefined in f32. */
  async scaler(): Promise<Float32Array | undefined> {
    const { scaler } = this.#traced;
    return scaler && new Float32Array(await this.model.device.read(scaler.buffer!));
  }

  /** Returns the words [4] of what steps are judged by: those skipped in a row, and the mean of norms. */
  async guard(): Promise<Uint32Array> {
    return new Uint32Array(await this.model.device.read(this.#traced.guard.buffer!));
  }

  /**
   * Puts back moments, the step count, what steps are judged by and, in f16, the state of loss scaling (by default new
   * ones), to go on where a run stopped. Moments that are kept in 8 bits are rounded to them, unless `codedOf` gives
   * those of a group as they were kept.
   */
  restore(
    step: number,
    momentsOf: MomentSource['momentsOf'],
    { scaling, guard, codedOf }: TrainerState & Pick<MomentSource, 'codedOf'> = {},
  ): void {
    const { scaler } = this.#traced;
    writeMoments(this.model, this.#traced.moments, { momentsOf, codedOf });
    this.step = step;
    if (guard) this.model.device.write(this.#traced.guard.buffer!, guard);
    if (!scaler) return;
    const ofStages = this.#traced.stages.map(({ frozenSteps }) => this.#updatesAfter(frozenSteps));
    const state = firstScaler(this.settings.optimizer, this.updates, ofStages);
    if (scaling) state.set(scaling.subarray(0, state.length));
    // the state comes from a run that froze nothing, so all parameters had seen the same updates
    if (scaling?.length === 4 && step === 0) {
      for (const i of ofStages.keys()) state.set(scaling.subarray(2), 4 + 2 * i);
    }
    this.model.device.write(scaler.buffer!, state);
  }

  destroy(): void {
    for (const made of this.plans) made.destroy();
    this.average?.destroy();
    this.#traced.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}
