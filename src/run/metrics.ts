/** A run's metrics: JSON lines, one for each optimizer step, evaluation and probe. */
import { appendFileSync, existsSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { UserError } from '../errors.js';
import type { Probe } from '../eval/probe.js';
import type { TextLoss } from '../eval/text-loss.js';
import { writeError, writeFileWhole } from '../files.js';
import type { SkipReason } from '../optim/adamw.js';
import type { Exchange } from '../train/shared-step.js';

export interface StepLine {
  readonly kind: 'step';
  readonly step: number;
  /** The tokens trained on so far. */
  readonly tokens: number;
  /** The FLOPs so far, 6·N for each token. */
  readonly flops: number;
  /** The mean loss over the step's tokens, in nats; null where it is not finite. */
  readonly loss: number | null;
  /** The gradient norm before clipping; null where it is not finite. */
  readonly gradientNorm: number | null;
  /** Why the step made no update, if it did not. */
  readonly skipped?: SkipReason;
  /** The factor that keeps gradients from vanishing in f16. */
  readonly lossScale?: number;
  readonly learningRate: number;
  readonly tokensPerSecond: number;
  /** What the exchange with other ranks took, where there are any. */
  readonly exchange?: Exchange;
}

/** The held-out loss of one language, as in `TextLoss`. */
export type HeldOutLoss = Pick<TextLoss, 'loss' | 'tokens' | 'bitsPerByte' | 'bytes'>;

export interface EvaluationLine {
  readonly kind: 'evaluation';
  readonly step: number;
  readonly tokens: number;
  readonly flops: number;
  readonly heldOut: Readonly<Record<string, HeldOutLoss>>;
}

/** What the model does in context, by language. */
export interface ProbeLine {
  readonly kind: 'probe';
  readonly step: number;
  readonly tokens: number;
  readonly flops: number;
  readonly probes: Readonly<Record<string, Probe>>;
}

export type MetricsLine = StepLine | EvaluationLine | ProbeLine;

/** Where lines go: a file, or nowhere for a rank that writes none. */
export type MetricsTarget = Pick<MetricsFile, 'append' | 'flush'>;
export const NOWHERE: MetricsTarget = { append: () => {}, flush: () => {} };

/** JSON lines that each belong to a step. */
export class MetricsFile<Line extends { readonly step: number } = MetricsLine> {
  readonly #path: string;
  readonly #onFault: ((fault: string) => void) | undefined;
  /** The lines that could not be written so far. */
  #waiting = '';
  #fault: Error | undefined;

  /** `onFault` is told why lines cannot be written, once until they can. */
  constructor(path: string, onFault?: (fault: string) => void) {
    this.#path = path;
    this.#onFault = onFault;
  }

  /** Appends lines; each goes out in one write. Where that fails, on a full disk say, they wait for the next time. */
  append(lines: readonly Line[]): void {
    this.#waiting += lines.map(line => `${JSON.stringify(line)}\n`).join('');
    if (this.#waiting === '') return;
    const size = existsSync(this.#path) ? statSync(this.#path).size : 0;
    try {
      appendFileSync(this.#path, this.#waiting);
      this.#waiting = '';
      this.#fault = undefined;
    } catch (error) {
      if (existsSync(this.#path)) truncateSync(this.#path, size); // a part of a line may have gone out
      const isNews = this.#fault === undefined;
      this.#fault = writeError(this.#path, error);
      if (isNews) this.#onFault?.(`${this.#fault.message}; its lines are kept in memory until it can be written`);
    }
  }

  /** Writes what waits. @throws Error when it still cannot be written. */
  flush(): void {
    this.append([]);
    if (this.#fault) throw this.#fault;
  }

  /**
   * Drops the lines after `step`, which a resumed run writes again, and a last one that a crash cut off.
   * @param dropBad whether lines that are no JSON of a step are dropped too.
   * @returns what was dropped that a resumed run does not write again, in words.
   * @throws UserError naming a line that is none, unless `dropBad`.
   */
  truncate(step: number, dropBad = false): string[] {
    const notes: string[] = [];
    const texts = readFileSync(this.#path, 'utf8').split('\n');
    if (texts.pop() !== '') notes.push(`the last line of '${this.#path}' was cut off by a crash, and is left out`);
    const kept: string[] = [];
    for (const [i, text] of texts.entries()) {
      const found = stepOf(text);
      if (found !== undefined && found > step) break; // lines are in order
      if (found !== undefined) kept.push(text);
      else if (dropBad) notes.push(`line ${i + 1} of '${this.#path}' is not a metric, and is left out`);
      else throw new UserError(`'${this.#path}' line ${i + 1} is not a metric; --drop-bad-lines leaves it out`);
    }
    writeFileWhole(this.#path, kept.map(line => `${line}\n`).join(''));
    return notes;
  }
}

/** Returns the step of a line, or undefined where it is no line of a step. */
function stepOf(text: string): number | undefined {
  try {
    const { step } = JSON.parse(text) as { step?: unknown };
    return typeof step === 'number' ? step : undefined;
  } catch {
    return undefined;
  }
}
