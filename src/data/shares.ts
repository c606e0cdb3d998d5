/** The shares of a mixture's sources along a run: constant, in stages, or changing linearly within a stage. */
import { z } from 'zod';
import { UserError } from '../errors.js';

/** A part of a run with a weight of its own. */
export interface WeightStage {
  /** Where the stage ends, as a share of the run's tokens: 1 is the end of the run. */
  readonly until: number;
  /** The weight in the stage, or at its beginning. */
  readonly weight: number;
  /** The weight at the stage's end, to which it changes linearly; without it the weight stays. */
  readonly to?: number | undefined;
}
export const stageSchema: z.ZodType<WeightStage> = z.strictObject({
  until: z.number(),
  weight: z.number(),
  to: z.number().optional(),
});
/** The weight of a source: of the whole run, or in stages. */
export type Weight = number | readonly WeightStage[];

interface Weighted {
  readonly weight: Weight;
}

const stagesOf = (weight: Weight): readonly WeightStage[] =>
  typeof weight === 'number' ? [{ until: 1, weight }] : weight;

/** Says what is wrong with stages; undefined where nothing is. */
export function faultOfStages(stages: readonly WeightStage[]): string | undefined {
  let before = 0;
  for (const { until, weight, to = weight } of stages) {
    if (!(until > before && until <= 1)) {
      return `until is a share of the run that grows from stage to stage, up to 1, and ${until} follows ${before}`;
    }
    const bad = [weight, to].find(value => !(value >= 0 && Number.isFinite(value)));
    if (bad !== undefined) return `the weight of a stage must be 0 or more, not ${bad}`;
    before = until;
  }
  if (before !== 1) return `the last stage must go until 1, the end of the run, and goes until ${before}`;
  if (stages.every(({ weight, to = weight }) => weight === 0 && to === 0)) {
    return 'some stage must have a weight above 0';
  }
  return undefined;
}

/** A list of stages that fit each other. */
export const stagesSchema = z.array(stageSchema).superRefine((stages, context) => {
  const fault = faultOfStages(stages);
  if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
});

/** A part of a run in which the share of every source is constant or changes linearly. */
export interface ShareSegment {
  /** Where it begins and ends, as shares of the run. */
  readonly from: number;
  readonly until: number;
  /** The share of each source at either end. */
  readonly start: readonly number[];
  readonly end: readonly number[];
}

/**
 * Cuts a run where a stage of any source ends. Within such a segment shares, not weights, are linear.
 * @throws UserError where no source has a weight above 0.
 */
export function shareSegments(sources: readonly Weighted[]): ShareSegment[] {
  const all = sources.map(({ weight }) => stagesOf(weight));
  const ends = [...new Set(all.flatMap(stages => stages.map(({ until }) => until)))].sort((a, b) => a - b);
  return ends.map((until, i) => {
    const from = ends[i - 1] ?? 0;
    const sharesAt = (place: number) => {
      const weights = all.map(stages => weightAt(stages, until, place));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      if (total > 0) return weights.map(weight => weight / total);
      throw new UserError(`no source has a weight above 0 at ${100 * place}% of the run; let one have`);
    };
    return { from, until, start: sharesAt(from), end: sharesAt(until) };
  });
}

/** Returns the weight at a place of the stage in which the segment that ends at `until` lies. */
function weightAt(stages: readonly WeightStage[], until: number, place: number): number {
  const i = stages.findIndex(stage => stage.until >= until);
  const { weight, to = weight, until: end } = stages[i]!;
  const from = stages[i - 1]?.until ?? 0;
  return weight + ((place - from) / (end - from)) * (to - weight);
}

/** Returns each source's share of the first `part` of a run, from above 0 to 1. */
export function meanShares(sources: readonly Weighted[], part = 1): number[] {
  const sums = sources.map(() => 0);
  for (const { from, until, start, end } of shareSegments(sources)) {
    const length = Math.min(until, part) - from;
    if (length <= 0) continue;
    sums.forEach((_, i) => {
      sums[i]! += length * (start[i]! + ((length / (until - from)) * (end[i]! - start[i]!)) / 2);
    });
  }
  return sums.map(sum => sum / part);
}

/** Whether the share of any source changes along the run. */
export const isStaged = (sources: readonly Weighted[]): boolean =>
  sources.some(({ weight }) => typeof weight !== 'number');

/** The weights of a run's sources as they are recorded: in stages, `weight` is the mean share, which readers go by. */
export function recordedWeights(
  sources: readonly Weighted[],
): { readonly weight: number; readonly stages?: WeightStage[] }[] {
  if (!isStaged(sources)) return sources.map(({ weight }) => ({ weight: weight as number }));
  const means = meanShares(sources);
  return sources.map(({ weight }, i) => ({
    weight: Number(means[i]!.toPrecision(12)), // 0.076 and not 0.07600000000000001
    stages: [...stagesOf(weight)],
  }));
}

interface RecordedSource {
  readonly name: string;
  readonly weight: number;
  readonly stages?: WeightStage[] | undefined;
}

/** The mixture of recorded sources, without what else is known of them. */
export const mixtureOfSources = (sources: readonly RecordedSource[]): RecordedSource[] =>
  sources.map(({ name, weight, stages }) => ({ name, weight, ...(stages && { stages }) }));

/** The segments of a run of so many sequences, with what each source is to have had where they begin. */
export class ShareSchedule {
  readonly #stretches: readonly Stretch[];

  constructor(segments: readonly ShareSegment[], sequences: number) {
    let before: readonly number[] = segments[0]!.start.map(() => 0);
    this.#stretches = segments.map(({ from, until, start, end }) => {
      const stretch = { first: Math.round(from * sequences), last: Math.round(until * sequences), before, start, end };
      before = targetsIn(stretch, stretch.last);
      return stretch;
    });
  }

  /**
   * Returns how many of a run's first `count` sequences are to come from each source: the sum of its shares so far.
   * After the run's end the last shares hold.
   */
  targets(count: number): number[] {
    return targetsIn(this.#at(count), count);
  }

  /** Whether a source has a share where the sequence `count`, from 1 on, is drawn. */
  hasShare(source: number, count: number): boolean {
    const { start, end } = this.#at(count);
    return start[source]! > 0 || end[source]! > 0;
  }

  #at(count: number): Stretch {
    return this.#stretches.find(({ last }) => count <= last) ?? this.#stretches.at(-1)!;
  }
}

/** A segment in sequences, and the targets at its beginning. */
interface Stretch extends Pick<ShareSegment, 'start' | 'end'> {
  readonly first: number;
  readonly last: number;
  readonly before: readonly number[];
}

function targetsIn({ first, last, before, start, end }: Stretch, count: number): number[] {
  const length = last - first;
  const within = Math.min(count, last) - first;
  const ramp = length > 0 ? within ** 2 / (2 * length) : 0;
  const after = Math.max(0, count - last);
  return before.map((sum, i) => sum + start[i]! * within + (end[i]! - start[i]!) * ramp + end[i]! * after);
}
