/** What probes of copying and induction show along runs: curves, and sentences beside those about loss. */
import { curveOf, type RunRecord, unitOf } from './runs.js';

export const PROBE_TASKS = ['copy', 'induction'] as const;
export type ProbeTask = (typeof PROBE_TASKS)[number];

/** What the tasks are called in sentences and figures. */
export const NOUNS: Readonly<Record<ProbeTask, string>> = { copy: 'copying', induction: 'induction' };

type TaskProbe = RunRecord['probes'][number]['probes'][string][ProbeTask];

/** A probe after so many training tokens. */
export interface ProbePoint extends Omit<TaskProbe, 'tokens'> {
  readonly tokens: number;
  /** The number of tokens that its accuracy is a share of. */
  readonly measured: number;
}

/** Returns the probes of a run with the tokens of one language. */
export const probeCurveOf = (run: RunRecord, language: string, task: ProbeTask): ProbePoint[] =>
  run.probes.flatMap(({ tokens, probes }) => {
    const found = probes[language]?.[task];
    return found ? [{ ...found, tokens, measured: found.tokens }] : [];
  });

/** Returns the languages whose tokens some run was probed with. */
export const probedLanguages = (runs: readonly RunRecord[]): string[] => [
  ...new Set(runs.flatMap(run => run.probes.flatMap(({ probes }) => Object.keys(probes)))),
];

/** A difference of so many standard errors is no chance of the tokens that were drawn. */
const SURE = 3;

/** An accuracy, and the number of tokens that it is a share of. */
export type Measured = Pick<ProbePoint, 'accuracy' | 'measured'>;

/** Whether an accuracy fell by more than the few measured tokens leave open: each is a binomial share. */
export function hasFallen(first: Measured, last: Measured): boolean {
  const variance = ({ accuracy, measured }: Measured) => (accuracy * (1 - accuracy)) / measured;
  return first.accuracy - last.accuracy > SURE * Math.sqrt(variance(first) + variance(last));
}

/** What may help a CPT run that lost what its source could do (Elhady et al., 2025, arXiv 2506.00288). */
export const ADVICE =
  "replay source text, above all early, or average the weights with those of the source ('babelgrad merge')";

/** Says how a number went. */
export const moved = (first: number, last: number, digits: number): string => {
  const [from, to] = [first.toFixed(digits), last.toFixed(digits)];
  if (from === to) return `stayed at ${to}`;
  return `${last < first ? 'fell' : 'rose'} from ${from} to ${to}`;
};

/**
 * Says of each run and language how loss and probes went, from the first probe to the last; of a CPT run that lost what
 * its source could do, what may help.
 */
export function probeFindings(runs: readonly RunRecord[]): string[] {
  const unit = unitOf(runs);
  return runs.flatMap(run =>
    probedLanguages([run]).flatMap(language => {
      const losses = curveOf(run, language, unit);
      const tasks = PROBE_TASKS.map(task => {
        const curve = probeCurveOf(run, language, task);
        return { task, first: curve[0], last: curve.at(-1), count: curve.length };
      });
      const known = tasks.flatMap(({ task, first, last, count }) =>
        count > 1 ? [{ task, first: first!, last: last! }] : [],
      );
      if (known.length === 0) return [];
      const loss = losses.length > 1 ? [`loss ${moved(losses[0]!.loss, losses.at(-1)!.loss, 3)}`] : [];
      const probed = known.map(({ task, first, last }) => {
        const chance = last.chance.toFixed(3);
        return `${NOUNS[task]} ${moved(first.accuracy, last.accuracy, 2)} (chance ${chance})`;
      });
      const lost = run.config.method === 'cpt' && known.some(({ first, last }) => hasFallen(first, last));
      const advice = lost ? `: ${ADVICE}` : '';
      return [`With ${language} tokens, '${run.config.name}': ${[...loss, ...probed].join(', ')}${advice}.`];
    }),
  );
}
