/** The training loop. Its order is: evaluate, save, stop or go on; draw, submit, report. */
import { join } from 'node:path';
import type { Companions } from '../checkpoint/companions.js';
import { listCheckpoints } from '../checkpoint/find.js';
import type { Mixture } from '../data/mixture.js';
import { heldOutText, type ScoredText } from '../data/scored-text.js';
import { messageOf } from '../errors.js';
import { textLoss } from '../eval/text-loss.js';
import { TokenLosses } from '../eval/token-losses.js';
import type { Device } from '../gpu/device.js';
import type { StepHealth } from '../optim/adamw.js';
import { learningRateAt } from '../optim/schedule.js';
import { type HealthLine, HealthProbe } from '../train/health-probe.js';
import { locateNonFinite, type NonFinite } from '../train/non-finite.js';
import { writeOp } from '../train/recorded-op.js';
import type { Trainer } from '../train/step.js';
import { saveCheckpoint } from './checkpoint.js';
import { evaluationShape } from './evaluations.js';
import { HEALTH_FILE, type HealthOptions, healthWarnings } from './health.js';
import { type EvaluationLine, MetricsFile, type StepLine } from './metrics.js';
import type { ResolvedRun } from './resolve.js';
import type { Data } from './run-data.js';

/** Is told how a run goes on. */
export interface TrainObserver {
  /** Is told before the start that kernels are tuned, for `seconds` of at most `most`; `key` is what is being tuned. */
  onTune?(seconds: number, most: number, key: string): void;
  /** Is told before the start what the user should know, and what stops nothing. */
  onNote?(text: string): void;
  onStart?(run: ResolvedRun, device: Device): void;
  onStep?(line: StepLine): void;
  onEvaluation?(line: EvaluationLine): void;
  /** Is told what is beyond a limit, in a run that watches its health. */
  onWarning?(warning: string): void;
}

export interface RunSummary {
  readonly status: 'done' | 'interrupted';
  readonly folder: string;
  readonly step: number;
  readonly steps: number;
  readonly tokens: number;
  readonly flops: number;
  /** The losses of the last evaluation. */
  readonly heldOut: EvaluationLine['heldOut'];
  readonly checkpoint: string;
}

export interface TrainContext {
  readonly folder: string;
  readonly run: ResolvedRun;
  readonly device: Device;
  readonly trainer: Trainer;
  readonly mixture: Mixture;
  readonly data: Data;
  readonly companions?: Companions | undefined;
  readonly observer?: TrainObserver | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly health?: HealthOptions | undefined;
  /** Whether the run goes on from a checkpoint, which was evaluated before it was saved. */
  readonly isResumed?: boolean;
}

/** The end of a run whose loss or gradients stopped being finite: gone on with, it would end there again. */
export class DivergedError extends Error {
  override name = 'DivergedError';
}

/** Steps are read back in groups of about this length: a readback costs little, but the terminal wants news. */
const REPORT_EVERY_MS = 250;
const MOST_UNREAD = 32;

/**
 * Trains from the trainer's step to the run's last one.
 * @throws DivergedError when loss or gradients stop being finite; it names the step and the tensor, and checkpoints
 * stay.
 */
export async function train(context: TrainContext): Promise<RunSummary> {
  const { folder, run, device, trainer, mixture, signal, observer } = context;
  const metrics = new MetricsFile(join(folder, 'metrics.jsonl'), fault => observer?.onWarning?.(fault));
  const reporter = new Reporter(context, metrics);
  const evaluate = await makeEvaluation(context);
  const watch = context.health && (await watchHealth(context, context.health));
  const tokensAt = (step: number) => step * run.batchTokens;
  const flopsAt = (step: number) => tokensAt(step) * run.flopsPerToken;
  /** Whether something that happens `times` times, and before the first step, happens now. */
  const isDue = (step: number, times: number) =>
    step === 0 || Math.floor((step * times) / run.steps) > Math.floor(((step - 1) * times) / run.steps);
  const resumedAt = context.isResumed ? trainer.step : undefined;
  let heldOut: EvaluationLine['heldOut'] = {};
  let checkpoint = listCheckpoints(folder).at(-1)?.folder ?? '';
  observer?.onStart?.(run, device);
  try {
    for (;;) {
      const { step } = trainer;
      const isLast = step === run.steps;
      const isResumed = step === resumedAt; // evaluated and saved before the run stopped
      if (isDue(step, run.evaluations) && (!isResumed || isLast)) {
        await reporter.flush();
        heldOut = await evaluate();
        const line = { kind: 'evaluation', step, tokens: tokensAt(step), flops: flopsAt(step), heldOut } as const;
        if (!isResumed) metrics.append([line]);
        observer?.onEvaluation?.(line);
        reporter.restartClock();
      }
      const stopping = signal?.aborted === true;
      if (!isResumed && (isDue(step, run.checkpoints) || stopping)) {
        await reporter.flush();
        checkpoint = await saveCheckpoint(folder, run.keepCheckpoints, {
          model: trainer.model,
          trainer,
          tokenizerJson: context.data.tokenizerJson,
          companions: context.companions,
          state: {
            run: run.name,
            step,
            tokens: tokensAt(step),
            flops: flopsAt(step),
            parameters: run.parameters.total,
            mixture: mixture.state(),
            ...(step > 0 && { learningRate: learningRateAt(run.schedule, step, run.steps) }),
            updates: trainer.updates,
            sources: run.sources.map(({ name, weight }) => ({ name, weight })),
            tokenizer: run.tokenizer,
          },
        });
        reporter.restartClock();
      }
      if (isLast || stopping) {
        metrics.flush();
        const status = isLast ? 'done' : 'interrupted';
        return {
          status,
          folder,
          step,
          steps: run.steps,
          tokens: tokensAt(step),
          flops: flopsAt(step),
          heldOut,
          checkpoint,
        };
      }
      const sequences = mixture.next(run.batchTokens / run.contextLength);
      const learningRate = learningRateAt(run.schedule, step + 1, run.steps);
      trainer.submit(sequences, learningRate);
      await reporter.submitted(sequences, learningRate);
      if (watch && (trainer.step % watch.every === 0 || trainer.step === run.steps)) {
        await reporter.flush(); // stops at a step that was not finite
        await watch.look(learningRate);
        reporter.restartClock();
      }
    }
  } finally {
    evaluate.destroy();
    watch?.destroy();
  }
}

/** Looks at a run's tensors, writes what it sees to health.jsonl, and warns. */
async function watchHealth({ folder, trainer, observer }: TrainContext, { every, limits }: HealthOptions) {
  const probe = await HealthProbe.create(trainer);
  const file = new MetricsFile<HealthLine>(join(folder, HEALTH_FILE), fault => observer?.onWarning?.(fault));
  const look = async (learningRate: number): Promise<void> => {
    const line = await probe.measure(learningRate);
    file.append([line]);
    for (const warning of healthWarnings(line, limits)) observer?.onWarning?.(warning);
  };
  return { every, look, destroy: () => probe.destroy() };
}

/** A step that was submitted. */
interface Submitted {
  readonly sequences: Uint32Array;
  readonly learningRate: number;
}

/** Steps that are read back together; `last` is the number of the last one. */
interface Group {
  readonly steps: readonly Submitted[];
  readonly last: number;
  read(): Promise<StepHealth[]>;
}

/** Reads steps back, one group at a time while the next group runs, and writes their lines. */
class Reporter {
  readonly #context: TrainContext;
  readonly #metrics: MetricsFile;
  #steps: Submitted[] = [];
  /** The group before, whose reports are on their way. */
  #earlier: Group | undefined;
  #since = performance.now();
  #group = 1;

  constructor(context: TrainContext, metrics: MetricsFile) {
    this.#context = context;
    this.#metrics = metrics;
  }

  async submitted(sequences: Uint32Array, learningRate: number): Promise<void> {
    this.#steps.push({ sequences, learningRate });
    if (this.#steps.length >= this.#group) await this.#turn();
  }

  /** Restarts the clock, since time spent on anything but steps does not count. */
  restartClock(): void {
    this.#since = performance.now();
  }

  /** Waits for every step that was submitted. */
  async flush(): Promise<void> {
    await this.#turn();
    await this.#turn();
  }

  /** Closes the present group and reports the one before, so that the device has work while this waits. */
  async #turn(): Promise<void> {
    const { trainer } = this.#context;
    const earlier = this.#earlier;
    const steps = this.#steps;
    this.#steps = [];
    this.#earlier = steps.length > 0 ? { steps, last: trainer.step, read: trainer.collect() } : undefined;
    if (earlier) await this.#report(earlier);
  }

  async #report({ steps, last, read }: Group): Promise<void> {
    const { run, observer } = this.#context;
    const health = await read();
    const stepMs = (performance.now() - this.#since) / steps.length;
    this.restartClock();
    this.#group = Math.max(1, Math.min(MOST_UNREAD, Math.floor(REPORT_EVERY_MS / stepMs)));
    const first = last - steps.length + 1;
    for (const [i, { loss, gradientNorm, badStep, lossScale, skipped }] of health.entries()) {
      const step = first + i;
      if (badStep !== 0)
        await this.#fail(badStep, { loss, gradientNorm, lossScale }, steps[badStep - first]!.sequences);
      const tokens = step * run.batchTokens;
      const line: StepLine = {
        kind: 'step',
        step,
        tokens,
        flops: tokens * run.flopsPerToken,
        loss,
        gradientNorm: skipped ? null : gradientNorm,
        ...(run.precision === 'f16' && { lossScale }),
        learningRate: steps[i]!.learningRate,
        tokensPerSecond: Math.round((1000 * run.batchTokens) / stepMs),
      };
      this.#metrics.append([line]);
      observer?.onStep?.(line);
    }
  }

  async #fail(
    step: number,
    { loss, gradientNorm, lossScale }: Pick<StepHealth, 'loss' | 'gradientNorm' | 'lossScale'>,
    sequences: Uint32Array,
  ): Promise<never> {
    const { run, trainer, folder } = this.#context;
    const { microBatch: B, contextLength: T } = run;
    const kept = ({ op }: NonFinite): string => {
      if (!op) return '';
      const path = join(folder, `not-finite-step-${step}.op`);
      writeOp(path, op);
      return `, made by '${op.op}'; its inputs are kept: babelgrad audit replay ${path}`;
    };
    const where = await locateNonFinite(trainer.model, sequences, { B, T }, lossScale).then(
      found =>
        found
          ? `the first value that is not finite is ${found.value} at index ${found.index} of ` +
            `'${found.tensor}'${kept(found)}`
          : 'all tensors are finite, but the sum of squares of the gradients is not',
      error => `where it started could not be found, which takes all tensors at once (${messageOf(error)})`,
    );
    throw new DivergedError(
      `step ${step}: the loss is ${loss} and the gradient norm ${gradientNorm}; ${where}. ` +
        `Training stopped before the update; the checkpoints in '${join(folder, 'checkpoints')}' are good. ` +
        'Try a lower learningRate, a longer warmup or a smaller clip.',
    );
  }
}

/** Makes a function that returns the mean held-out loss of every language, over the same tokens each time. */
async function makeEvaluation({ run, data, trainer }: TrainContext) {
  const evaluator = await TokenLosses.create(trainer.model, evaluationShape(run));
  const texts: (ScoredText & { readonly language: string })[] = [];
  for (const [language, dataset] of data.heldOut) {
    const count = run.evalTokens === null ? undefined : run.evalTokens + 1;
    texts.push({ language, ...(await heldOutText(dataset, count)) });
  }
  const evaluate = async (): Promise<EvaluationLine['heldOut']> => {
    const heldOut: Record<string, EvaluationLine['heldOut'][string]> = {};
    for (const text of texts) {
      const { loss, bitsPerByte, tokens, bytes } = await textLoss(evaluator, text);
      heldOut[text.language] = { loss, tokens, bitsPerByte, bytes };
    }
    return heldOut;
  };
  return Object.assign(evaluate, { destroy: () => evaluator.destroy() });
}
