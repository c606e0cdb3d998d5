/** What a run is given, whom it tells, and how it ends. */
import { join } from 'node:path';
import type { Companions } from '../checkpoint/companions.js';
import { listCheckpoints } from '../checkpoint/find.js';
import type { BaseRecord, BestEvaluation } from '../checkpoint/training-record.js';
import type { Mixture } from '../data/mixture.js';
import type { Device } from '../gpu/device.js';
import type { RankGroup } from '../parallel/ranks.js';
import type { OuterStep } from '../train/outer-step.js';
import type { Trainer } from '../train/step.js';
import type { HealthOptions } from './health.js';
import type { EvaluationLine, ProbeLine, StepLine } from './metrics.js';
import type { ResolvedRun } from './resolved.js';
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
  onProbe?(line: ProbeLine): void;
  /** Is told what is wrong and does not end the run: a skipped step, a lost device, a full disk, odd tensors. */
  onWarning?(warning: string): void;
}

export interface RunSummary {
  /** `stopped`: there was no lower loss in `stopAfter` evaluations. */
  readonly status: 'done' | 'interrupted' | 'stopped';
  readonly folder: string;
  readonly step: number;
  readonly steps: number;
  readonly tokens: number;
  readonly flops: number;
  /** The losses of the last evaluation. */
  readonly heldOut: EvaluationLine['heldOut'];
  readonly heldOutAverage?: EvaluationLine['heldOutAverage'];
  readonly checkpoint: string;
  /** The evaluation with the lowest loss, and its checkpoint, with `keepBest`. */
  readonly best?: (Omit<BestEvaluation, 'since'> & { readonly checkpoint: string }) | undefined;
}

export interface TrainContext {
  readonly folder: string;
  readonly run: ResolvedRun;
  readonly device: Device;
  readonly trainer: Trainer;
  /** The model that adapters are trained beside, of a run that does so. */
  readonly base?: BaseRecord | undefined;
  readonly mixture: Mixture;
  /** The processes that train the run together, of which this is one. */
  readonly ranks: RankGroup;
  /** What brings them together with `parallel: diloco`. */
  readonly outer?: OuterStep | undefined;
  readonly data: Data;
  readonly companions?: Companions | undefined;
  readonly observer?: TrainObserver | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly health?: HealthOptions | undefined;
  readonly hangSeconds?: number | undefined;
  /** Whether the run goes on from a checkpoint, which was evaluated before it was saved. */
  readonly isResumed?: boolean;
  /** The best evaluation so far, where there is one. */
  readonly best?: BestEvaluation | undefined;
}

/** The end of a run whose loss or gradients stopped being finite: gone on with, it would end there again. */
export class DivergedError extends Error {
  override name = 'DivergedError';
}

/** The seconds without an answer after which a device is taken for one that hangs, at least. */
export const HANG_SECONDS = 300;

export const CALMER = 'Try a lower learningRate, a longer warmup or a smaller clip.';

/** Says which checkpoints of a run that diverged are good, and which is the latest. */
export function goodCheckpoints(folder: string): string {
  const latest = listCheckpoints(folder).at(-1);
  const last = latest ? `; the latest is of step ${latest.step}` : '';
  return `the checkpoints in '${join(folder, 'checkpoints')}' are good${last}`;
}
