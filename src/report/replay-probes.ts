/** What CPT did to copying and induction in the source language, by its share of replay, from the points of a study. */
import { mean } from '../mean.js';
import type { Point } from '../scaling/points.js';
import { percent, short } from './numbers.js';
import { ADVICE, hasFallen, type Measured, moved, NOUNS, PROBE_TASKS, type ProbeTask } from './probes.js';

/** About how many tokens a probe measures (`eval/probe.ts`): points have accuracies alone. */
export const MEASURED: Readonly<Record<ProbeTask, number>> = { copy: 1000, induction: 256 };
const OF_SOURCE = { copy: 'sourceCopy', induction: 'sourceInduction' } as const;
/** A model that never had more than this does not do a task: chance is less, from contexts of 20 tokens on. */
const LEAST = 0.1;

/**
 * Says for each task how its accuracy with source tokens went from the source model to the ends of the CPT runs of one
 * size, by their shares of replay. Of a task that no model did it says nothing.
 * @param points of CPT runs, some of them with `sourceCopy` and `sourceInduction`
 * @param sources of the source's runs, if they are known
 */
export function replayProbeFindings(points: readonly Point[], sources: readonly Point[], parameters: number): string[] {
  const ends = endsOf(points.filter(point => point.parameters === parameters && point.sourceCopy !== undefined));
  const shares = [...new Set(ends.map(({ replay = 0 }) => replay))].sort((a, b) => a - b);
  if (shares.length === 0) return [];
  const source = sourceEnd(
    sources.filter(point => point.parameters === parameters && point.copy !== undefined),
    ends[0]!.sourceTokensPerParameter,
  );
  return PROBE_TASKS.flatMap(task => {
    const each = shares.map(share => ({
      share,
      ...measuredOf(
        task,
        ends.filter(({ replay = 0 }) => replay === share).flatMap(end => end[OF_SOURCE[task]] ?? []),
      ),
    }));
    const first = source && measuredOf(task, [source[task]!]);
    if (Math.max(...each.map(({ accuracy }) => accuracy), first?.accuracy ?? 0) < LEAST) return [];
    const [least, ...more] = each;
    const start = first ? moved(first.accuracy, least!.accuracy, 2) : `was ${least!.accuracy.toFixed(2)}`;
    const others = more.map(
      ({ share, accuracy }) => `${first ? 'to ' : ''}${accuracy.toFixed(2)} with ${percent(share)}`,
    );
    const lost = first !== undefined && each.some(end => hasFallen(first, end));
    return [
      `CPT of ${short(parameters)} parameters, source tokens: ${NOUNS[task]} ` +
        `${[`${start} ${nameOf(least!.share)}`, ...others].join(', ')}${lost ? `: ${ADVICE}` : ''}`,
    ];
  });
}

const nameOf = (share: number): string => (share === 0 ? 'without replay' : `with ${percent(share)} replay`);

/** Returns the mean accuracy of models that were each probed. */
const measuredOf = (task: ProbeTask, accuracies: readonly number[]): Measured => ({
  accuracy: mean(accuracies),
  measured: MEASURED[task] * accuracies.length,
});

/** Returns the last point of each run. */
function endsOf(points: readonly Point[]): Point[] {
  const ends = new Map<unknown, Point>();
  for (const point of points) {
    const key = point.run ?? point;
    const last = ends.get(key);
    if (!last || point.tokens >= last.tokens) ends.set(key, point);
  }
  return [...ends.values()];
}

/** Returns the point of the source that CPT began from: that after as many tokens, or else the last. */
function sourceEnd(points: readonly Point[], tokensPerParameter = Number.POSITIVE_INFINITY): Point | undefined {
  const distance = ({ tokens, parameters }: Point) =>
    Number.isFinite(tokensPerParameter) ? Math.abs(tokens / parameters - tokensPerParameter) : -tokens;
  return points.reduce<Point | undefined>(
    (best, point) => (best === undefined || distance(point) <= distance(best) ? point : best),
    undefined,
  );
}
