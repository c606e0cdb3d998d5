/** Reads the steps of a run back, writes their lines, and ends the run where one is not finite. */
import { join } from 'node:path';
import { messageOf } from '../errors.js';
import type { SkipReason, StepHealth } from '../optim/adamw.js';
import { locateNonFinite, type NonFinite } from '../train/non-finite.js';
import { writeOp } from '../train/recorded-op.js';
import { CALMER, DivergedError, goodCheckpoints, HANG_SECONDS, type TrainContext } from './context.js';
import type { MetricsTarget, StepLine } from './metrics.js';
import type { Stepped } from './stepping.js';

/** Steps are read back in groups of about this length: a readback costs little, but the terminal wants news. */
const REPORT_EVERY_MS = 250;
const MOST_UNREAD = 32;
/** A device that takes this many times the longest group of steps so far is taken for one that hangs. */
const HANG_GROUPS = 20;

/** A step that was submitted. */
interface Submitted extends Stepped {
  readonly learningRate: number;
}

const finiteOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

function skipWarning({ step, gradientNorm }: StepLine, reason: SkipReason, most: number): string {
  const why =
    reason === 'spike' ? `its gradient norm of ${gradientNorm} is a spike` : 'its loss or gradients are not finite';
  return `step ${step} is skipped: ${why}; more than ${most} such steps in a row end the run`;
}

/** Steps that are read back together; `last` is the number of the last one. */
interface Group {
  readonly steps: readonly Submitted[];
  readonly last: number;
  /** When the steps had run, where that is known: an exchange of gradients waits for them. */
  readonly ranAt: number | undefined;
  read(): Promise<StepHealth[]>;
}

/** Reads steps back, one group at a time while the next group runs, and writes their lines. */
export class Reporter {
  readonly #context: TrainContext;
  readonly #metrics: MetricsTarget;
  #steps: Submitted[] = [];
  /** The group before, whose reports are on their way. */
  #earlier: Group | undefined;
  #since = performance.now();
  #group = 1;
  #longestMs = 0;
  /** Whether the last step that was read was not finite. */
  isUnsound = false;

  constructor(context: TrainContext, metrics: MetricsTarget) {
    this.#context = context;
    this.#metrics = metrics;
  }

  async submitted(stepped: Stepped, learningRate: number): Promise<void> {
    this.#steps.push({ ...stepped, learningRate });
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
    const { run, trainer, ranks } = this.#context;
    const earlier = this.#earlier;
    const steps = this.#steps;
    this.#steps = [];
    const hasRun = ranks.size > 1 && run.parallel === 'data';
    const ranAt = hasRun ? performance.now() : undefined;
    this.#earlier = steps.length > 0 ? { steps, last: trainer.step, ranAt, read: trainer.collect() } : undefined;
    if (earlier) await this.#report(earlier);
  }

  async #report({ steps, last, ranAt, read }: Group): Promise<void> {
    const { run, observer } = this.#context;
    const health = await read();
    const now = ranAt ?? performance.now();
    const stepMs = (now - this.#since) / steps.length;
    this.#watchDevice(now - this.#since);
    this.#since = now;
    this.#group = Math.max(1, Math.min(MOST_UNREAD, Math.floor(REPORT_EVERY_MS / stepMs)));
    const first = last - steps.length + 1;
    for (const [i, { loss, gradientNorm, badStep, lossScale, skipped }] of health.entries()) {
      const step = first + i;
      const { learningRate, exchange } = steps[i]!;
      if (badStep !== 0) await this.#fail(badStep, { loss, gradientNorm, lossScale }, steps[badStep - first]!);
      const tokens = step * run.batchTokens;
      const line: StepLine = {
        kind: 'step',
        step,
        tokens,
        flops: tokens * run.flopsPerToken,
        loss: finiteOrNull(loss),
        gradientNorm: skipped === 'overflow' ? null : finiteOrNull(gradientNorm),
        ...(skipped && { skipped }),
        ...(run.precision === 'f16' && { lossScale }),
        learningRate,
        tokensPerSecond: Math.round((1000 * run.batchTokens) / stepMs),
        ...(exchange && { exchange }),
      };
      this.#metrics.append([line]);
      observer?.onStep?.(line);
      this.isUnsound = skipped === 'not finite';
      if (skipped && skipped !== 'overflow') observer?.onWarning?.(skipWarning(line, skipped, run.maxSkippedSteps));
    }
  }

  /** Lets the device be taken for lost when it is far later than a group of steps, which took so long, ever was. */
  #watchDevice(groupMs: number): void {
    const { device, hangSeconds = HANG_SECONDS } = this.#context;
    if (hangSeconds === 0) return;
    this.#longestMs = Math.max(this.#longestMs, groupMs);
    device.patience = Math.max(1000 * hangSeconds, HANG_GROUPS * this.#longestMs);
  }

  async #fail(
    step: number,
    { loss, gradientNorm, lossScale }: Pick<StepHealth, 'loss' | 'gradientNorm' | 'lossScale'>,
    { sequences, weights }: Stepped,
  ): Promise<never> {
    const { run, trainer, folder, ranks } = this.#context;
    const kept = ({ op }: NonFinite): string => {
      if (!op) return '';
      const path = join(folder, `not-finite-step-${step}${ranks.size > 1 ? `-rank-${ranks.rank}` : ''}.op`);
      writeOp(path, op);
      return `, made by '${op.op}'; its inputs are kept: babelgrad audit replay ${path}`;
    };
    const skipped = run.maxSkippedSteps > 0 ? ` after ${run.maxSkippedSteps} steps that were skipped` : '';
    if (run.precision === 'f16' && Number.isFinite(loss)) {
      throw new DivergedError(
        `step ${step}: gradients overflow in f16 at every loss scale, down to ${lossScale}, though the loss is ` +
          `${loss}; ${goodCheckpoints(folder)}. Use precision f32. ${CALMER}`,
      );
    }
    const own = await locateNonFinite(trainer.model, sequences, trainer.settings, lossScale, weights).then(
      found => ({
        isFound: found !== undefined,
        text: found
          ? `the first value that is not finite is ${found.value} at index ${found.index} of ` +
            `'${found.tensor}'${kept(found)}`
          : 'all tensors are finite, but the sum of squares of the gradients is not',
      }),
      error => ({
        isFound: false,
        text: `where it started could not be found, which takes all tensors at once (${messageOf(error)})`,
      }),
    );
    // with diloco the others are at steps of their own, and fail at none or at another
    const all = run.parallel === 'data' ? await ranks.gather(own) : [own];
    const by = all.findIndex(({ isFound }) => isFound);
    const where = (by > 0 ? `on rank ${by}, ` : '') + all[Math.max(0, by)]!.text;
    throw new DivergedError(
      `step ${step}: the loss is ${loss} and the gradient norm ${gradientNorm}; ${where}. ` +
        `Training stopped before the update${skipped}; ${goodCheckpoints(folder)}. ${CALMER}`,
    );
  }
}
