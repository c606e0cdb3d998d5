/** Says what a run is going to do, before it starts: schedule, evaluations, checkpoints, passes over its data. */
import { shareSegments } from '../data/shares.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { learningRateAt } from '../optim/schedule.js';
import { short } from '../report/numbers.js';
import { evaluationCost } from '../run/evaluations.js';
import { runMemory } from '../run/memory.js';
import { passesOf } from '../run/repeats.js';
import type { ResolvedRun } from '../run/resolved.js';
import { showBytes } from './numbers.js';

export interface Phase {
  readonly phase: string;
  readonly steps: number;
  /** The learning rate of the phase's last step. */
  readonly to: number;
}

/** Returns the phases of a run's learning rate, each of at least one step. */
export function schedulePhases({ schedule, steps }: Pick<ResolvedRun, 'schedule' | 'steps'>): Phase[] {
  const share = (of: number, most = steps) => Math.min(most, Math.round(of * steps));
  const warmup = ['warm-up', schedule.schedule === 'anneal' ? 0 : share(schedule.warmup)] as const;
  const rest = steps - warmup[1];
  const decay = Math.max(schedule.schedule === 'wsd' && rest > 0 ? 1 : 0, share(schedule.decay, rest));
  const cooldown = share(schedule.cooldown, rest - decay);
  const after: Record<typeof schedule.schedule, readonly (readonly [string, number])[]> = {
    cosine: [['cosine decay', rest]],
    constant: [['constant', rest]],
    wsd: [
      ['constant', rest - decay],
      ['linear decay', decay],
    ],
    infinite: [
      ['cool-down', cooldown],
      ['constant', rest - cooldown - decay],
      ['anneal', decay],
    ],
    anneal: [['anneal', steps]],
  };
  let step = 0;
  return [warmup, ...after[schedule.schedule]]
    .filter(([, count]) => count > 0)
    .map(([phase, count]) => {
      step += count;
      return { phase, steps: count, to: learningRateAt(schedule, step, steps) };
    });
}

/** Returns a rate or a number of passes, with three digits. */
const digits = (value: number): string => String(Number(value.toPrecision(3)));

export function showSchedule(run: ResolvedRun): string {
  const phases = schedulePhases(run).map(
    ({ phase, steps, to }) => `${phase} ${phase === 'constant' ? 'at' : 'to'} ${digits(to)} in ${steps} steps`,
  );
  return `learning rate: ${run.schedule.schedule}, ${phases.join(', ')}`;
}

export function showEvaluations(run: ResolvedRun): string {
  const count = run.evaluations + 1;
  const cost = evaluationCost(run);
  if (!run.evaluation || !cost) {
    return (
      `evaluations: ${count}, on ${run.evalTokens === null ? 'all' : `the first ${short(run.evalTokens)}`} ` +
      'held-out tokens of each language'
    );
  }
  const first = run.evalTokens === null ? 'all ' : 'the first ';
  const both = run.emaDecay === undefined ? '' : ', of the weights and of their average';
  const tokens = Object.entries(run.evaluation.tokens).map(([language, of]) => `${short(of)} of ${language}`);
  const share = `${digits(100 * cost.shareOfTraining)}% of the training's FLOPs`;
  return `evaluations: ${count}, on ${first}held-out tokens (${tokens.join(', ')})${both}: ${share}`;
}

/** Says how the shares of the sources change along a run; undefined where they don't. */
export function showStages({ sources }: ResolvedRun): string | undefined {
  if (!sources.some(({ stages }) => stages)) return undefined;
  const percent = (share: number) => `${digits(100 * share)}%`;
  const segments = shareSegments(sources.map(({ weight, stages }) => ({ weight: stages ?? weight })));
  const shown = segments.map(({ until, start, end }) => {
    const shares = sources.map(({ name }, i) => {
      const [first, last] = [percent(start[i]!), percent(end[i]!)];
      return `${name} ${first === last ? first : `${first} to ${last}`}`;
    });
    return `${shares.join(', ')} until ${percent(until)} of the tokens`;
  });
  return `mixture: ${shown.join('; ')}`;
}

/** Says how often a run with probes is probed. */
export const showProbes = ({ probes = 0, heldOut }: ResolvedRun): string =>
  `probes: ${probes + 1}, copying and induction with tokens of ${Object.keys(heldOut).join(', ')}`;

export const showPasses = (run: ResolvedRun): string =>
  `data: ${passesOf(run)
    .map(({ name, passes }) => `${digits(passes)} passes over ${name}`)
    .join(', ')}`;

/** Says in five lines what a run is about to do. Time is told with its progress: it is known from the first steps. */
export function showStart(run: ResolvedRun, adapter: AdapterDescription): string[] {
  const { name, method, source, parameters, tokens, steps, checkpoints, keepCheckpoints, keepEvery } = run;
  const stages = showStages(run);
  const { peak, host } = runMemory(adapter, run);
  const kept = keepEvery > 0 ? `, and one in ${keepEvery}` : '';
  return [
    `${name}: ${method}, ${short(parameters.total)} parameters, ${short(tokens)} tokens in ${steps} steps, ` +
      `on ${adapter.name}`,
    `${source ? `from: ${source.checkpoint}; ` : ''}${showPasses(run)}${stages === undefined ? '' : `; ${stages}`}`,
    `${showEvaluations(run)}${run.probes === undefined ? '' : `; ${showProbes(run)}`}`,
    `checkpoints: ${checkpoints + 1}, one every ${short(steps / checkpoints)} steps; ` +
      `kept: the latest ${keepCheckpoints}${kept}`,
    `memory: ${showBytes(peak)} of the device${host > 0 ? `, ${showBytes(host)} of the host` : ''}; ` +
      'time: with the progress, from the first steps on',
  ];
}
