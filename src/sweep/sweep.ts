/**
 * Runs a sweep: one short run after another, each in a folder and a process of its own. A run that diverges, or fails,
 * is noted, and the others go on. What is done is not done again, so that a sweep that was stopped goes on.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, UserError } from '../errors.js';
import { writeFileWhole } from '../files.js';
import { readText } from '../input-files.js';
import { mean } from '../mean.js';
import { sourceLanguageOf } from '../report/forgetting.js';
import { readRun } from '../report/runs.js';
import { DivergedError } from '../run/context.js';
import { withClaim } from '../run/held.js';
import { type Execute, inChildProcess, type RunProgress } from '../study/execute.js';
import { runFolder } from '../study/planned-run.js';
import { isDone } from '../study/state.js';
import { findMinimum, type Minimum, type RateLosses } from './minimum.js';
import { type SweepPlan, writeSweep } from './plan.js';
import { FIRST_PLACES, nextPlaces, rateAt } from './rates.js';

/** A run that ends above this many times the loss of its start has blown up; a rate too low to learn stays below. */
const BLOWN_UP = 1.02;

/** A run of a sweep. */
export interface SweepRun {
  readonly name: string;
  readonly seed: number;
  readonly state: 'done' | 'diverged' | 'failed';
  /** The held-out losses at the start and at the end, in nats per token, of a run that is done. */
  readonly losses?: SweepLosses;
  /** Why it diverged or failed. */
  readonly error?: string;
}

export interface SweepLosses {
  readonly start: number;
  readonly end: number;
  /** The losses of the language that the source model of a CPT run was mostly trained on, where they are known. */
  readonly source?: { readonly language: string; readonly start: number; readonly end: number };
}

/** A rate with its runs; its loss is the mean over seeds, if all of them are done. */
export interface SweepRate extends RateLosses {
  readonly runs: readonly SweepRun[];
  /** The mean loss in the source language at the end. */
  readonly sourceLoss?: number;
}

export interface Sweep {
  readonly status: 'done' | 'interrupted';
  /** The rates in ascending order. */
  readonly rates: readonly SweepRate[];
  readonly minimum?: Minimum;
}

export interface SweepObserver {
  onRunStart?(name: string, steps: number): void;
  onProgress?(progress: RunProgress): void;
  onNote?(text: string): void;
  onRunEnd?(run: SweepRun): void;
}

export interface RunSweepOptions {
  /** The most rates that are tried. */
  readonly mostRates: number;
  /** The seeds of each rate: the run's own, and the numbers that follow it. */
  readonly seeds: number;
  readonly execute?: Execute;
  readonly observer?: SweepObserver;
  /** Aborting this signal ends the run at hand after its step, with a checkpoint, and starts no more. */
  readonly signal?: AbortSignal;
}

/** Runs a sweep, or goes on with it. @throws UserError when another process has it, or no run can start. */
export function runSweep(plan: SweepPlan, options: RunSweepOptions): Promise<Sweep> {
  return withClaim(plan.folder, undefined, async () => {
    writeSweep(plan);
    const rates: TriedRate[] = [];
    let next = FIRST_PLACES;
    while (next.length > 0) {
      for (const place of next.slice(0, options.mostRates - rates.length)) {
        const tried = await runRate(plan, rateAt(place, plan), options);
        if (!tried) return sweepOf('interrupted', rates);
        rates.push({ ...tried, place });
      }
      next = rates.length < options.mostRates ? nextPlaces(rates) : [];
    }
    return sweepOf('done', rates);
  });
}

type TriedRate = SweepRate & { readonly place: number };

function sweepOf(status: Sweep['status'], tried: readonly TriedRate[]): Sweep {
  const rates = tried.map(({ place: _, ...rate }) => rate).sort((a, b) => a.rate - b.rate);
  const minimum = findMinimum(rates);
  return { status, rates, ...(minimum && { minimum }) };
}

/** Runs the seeds of a rate, up to the first that has no loss. @returns undefined when it was interrupted. */
async function runRate(plan: SweepPlan, rate: number, options: RunSweepOptions): Promise<SweepRate | undefined> {
  const runs: SweepRun[] = [];
  for (let i = 0; i < options.seeds && runs.every(({ state }) => state === 'done'); i++) {
    const run = await runOne(plan, rate, i, options);
    if (!run) return undefined;
    runs.push(run);
  }
  const all = runs.flatMap(({ losses }) => losses ?? []);
  const ofSource = all.flatMap(({ source }) => source?.end ?? []);
  const isWhole = all.length === runs.length;
  return {
    rate,
    runs,
    losses: all.map(({ end }) => end),
    loss: isWhole ? mean(all.map(({ end }) => end)) : undefined,
    ...(isWhole && ofSource.length > 0 && { sourceLoss: mean(ofSource) }),
  };
}

async function runOne(
  plan: SweepPlan,
  rate: number,
  index: number,
  { execute = inChildProcess, observer, signal }: RunSweepOptions,
): Promise<SweepRun | undefined> {
  const { config } = plan;
  const seed = config.seed + index;
  const name = `lr-${rate}-seed-${seed}`;
  const folder = runFolder(plan.folder, name);
  const divergence = join(folder, 'diverged.txt');
  const ended = (run: SweepRun): SweepRun => {
    observer?.onRunEnd?.(run);
    return run;
  };
  const done = (): SweepRun => {
    const losses = lossesOf(folder, plan.language);
    if (losses.end <= BLOWN_UP * losses.start) return ended({ name, seed, state: 'done', losses });
    const error = `its loss ends at ${losses.end.toFixed(4)}, above the ${losses.start.toFixed(4)} of its start`;
    return ended({ name, seed, state: 'diverged', error });
  };
  if (isDone(plan.folder, { name })) return done();
  if (existsSync(divergence)) return ended({ name, seed, state: 'diverged', error: readText(divergence).trim() });
  if (signal?.aborted) return undefined;
  const dataSeed = config.dataSeed === undefined ? {} : { dataSeed: config.dataSeed + index };
  const own = { ...config, ...dataSeed, name, out: folder, learningRate: rate, seed };
  observer?.onRunStart?.(name, plan.short.run.steps);
  const { onProgress, onNote } = observer ?? {};
  return withClaim(folder, undefined, async () => {
    try {
      const { status } = await execute({ folder, config: own, from: plan.from }, { signal, onProgress, onNote });
      return status === 'interrupted' ? undefined : done();
    } catch (error) {
      if (error instanceof UserError) throw error;
      if (!(error instanceof DivergedError)) return ended({ name, seed, state: 'failed', error: messageOf(error) });
      writeFileWhole(divergence, `${error.message}\n`);
      return ended({ name, seed, state: 'diverged', error: error.message });
    }
  });
}

/** Reads the held-out losses of a run that is done. */
function lossesOf(folder: string, language: string): SweepLosses {
  const record = readRun(folder);
  const [first, last] = [record.evaluations[0]!.heldOut, record.evaluations.at(-1)!.heldOut];
  const inLanguage = (name: string) => ({ start: first[name]!.loss, end: last[name]!.loss });
  const source = sourceLanguageOf(record);
  const isOther = source !== undefined && source !== language && last[source] !== undefined;
  return { ...inLanguage(language), ...(isOther && { source: { language: source, ...inLanguage(source) } }) };
}

/** Returns the losses of the source language of a run that has them; undefined where none has. */
export const sourceOf = ({ rates }: Sweep): SweepLosses['source'] =>
  rates.flatMap(({ runs }) => runs.flatMap(({ losses }) => losses?.source ?? []))[0];
