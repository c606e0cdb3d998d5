/** A run's metrics: JSON lines, one for each optimizer step and each evaluation. */
import { appendFileSync, readFileSync } from 'node:fs';
import type { TextLoss } from '../eval/text-loss.js';
import { writeFileWhole } from '../files.js';

export interface StepLine {
  readonly kind: 'step';
  readonly step: number;
  /** The tokens trained on so far. */
  readonly tokens: number;
  /** The FLOPs so far, 6·N for each token. */
  readonly flops: number;
  /** The mean loss over the step's tokens, in nats. */
  readonly loss: number;
  /** The gradient norm before clipping; null in a step that was skipped because f16 gradients overflowed. */
  readonly gradientNorm: number | null;
  /** The factor that keeps gradients from vanishing in f16. */
  readonly lossScale?: number;
  readonly learningRate: number;
  readonly tokensPerSecond: number;
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

export type MetricsLine = StepLine | EvaluationLine;

/** JSON lines that each belong to a step. */
export class MetricsFile<Line extends { readonly step: number } = MetricsLine> {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Appends lines; each goes out in one write. */
  append(lines: readonly Line[]): void {
    if (lines.length > 0) appendFileSync(this.#path, lines.map(line => `${JSON.stringify(line)}\n`).join(''));
  }

  /** Drops the lines after `step`, and a last one that a crash cut off: a resumed run writes them again. */
  truncate(step: number): void {
    const kept = readFileSync(this.#path, 'utf8')
      .split('\n')
      .slice(0, -1)
      .filter(line => (JSON.parse(line) as Line).step <= step);
    writeFileWhole(this.#path, kept.map(line => `${line}\n`).join(''));
  }
}
