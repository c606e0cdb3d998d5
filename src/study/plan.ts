/** The runs that a study asks for. */
import { join } from 'node:path';
import { UserError } from '../errors.js';
import { checkedFileName } from '../paths.js';
import { MODEL_FIELDS, parseConfig, parseFields, type RunConfig } from '../run/config.js';
import {
  allSeeds,
  commonTargets,
  endsOf,
  holdsFor,
  readStudyFile,
  type Strategy,
  type StudyFile,
  type StudySize,
  seedsOf,
  targetsOf,
} from './file.js';
import { meanRatio, nameOfStages, type ReplayAccount, type ReplayStage, sourceStages, targetStages } from './replay.js';
import { parseSlurm, type SlurmOptions } from './slurm/options.js';

/** A run of a study, before it is started. */
export interface PlannedRun {
  /** The name of the run, and of its folder below `runs` in the study's folder. */
  readonly name: string;
  readonly size: string;
  readonly strategy: Strategy;
  /** The language that the run is trained in; for a source run, the source language. */
  readonly language: string;
  /** The share of source-language tokens, 0 to 1; the mean share where replay is in stages. */
  readonly replay: number;
  /** How replay is paid for, if the run has any. */
  readonly account?: ReplayAccount;
  /** The tokens per parameter of the source's end that CPT starts from, where it is not the last. */
  readonly sourceEnd?: number;
  readonly seed: number;
  readonly config: RunConfig;
  /** The line that the run is a part of, in a study with `ends`. */
  readonly part?: LinePart;
  /** Where a run starts that does not start from random weights: the run that it waits for, or a model folder. */
  readonly from?: { readonly run: string } | { readonly folder: string };
}

/**
 * A part of a line of runs, which is what one run is in a study without `ends`: a piece of its trunk, or the end that
 * branches off when the piece before it is done. `tokensPerParameter` counts from the start of the line.
 */
export interface LinePart {
  /** The name that the one run would have. */
  readonly line: string;
  readonly kind: 'trunk' | 'end';
  readonly tokensPerParameter: number;
}

/** Whether a part is the end of a line after so many tokens per parameter. */
const isEnd = (part: LinePart | undefined, tokensPerParameter: number): boolean =>
  part?.kind === 'end' && part.tokensPerParameter === tokensPerParameter;

/** The name of a run, or of the line that it is a part of. */
export const lineOf = ({ name, part }: Pick<PlannedRun, 'name' | 'part'>): string => part?.line ?? name;

/** A study file, and every run that it asks for: source runs first, then by size. */
export interface StudyPlan {
  readonly name: string;
  readonly folder: string;
  readonly source?: string;
  readonly targets: readonly string[];
  readonly runs: readonly PlannedRun[];
  /** What jobs ask a cluster for, where the file says so. It is no part of the study's own plan. */
  readonly slurm?: SlurmOptions;
}

/** Returns the folder of a run. @throws UserError when its name, in which its language is, cannot be a file's. */
export const runFolder = (study: string, run: string): string =>
  join(study, 'runs', checkedFileName(run, 'a run of the study named'));

/**
 * Reads a study file and plans its runs. `out` replaces its folder.
 * @throws UserError naming the file, the field, and what is wrong with it.
 */
export function readStudyPlan(path: string, out?: string): StudyPlan {
  return planStudy(readStudyFile(path, out), path);
}

function planStudy(study: StudyFile, path: string): StudyPlan {
  const { source, strategies, sizes } = study;
  checkCount(study, path);
  const runs = allSeeds(study).flatMap(seed =>
    sizes.flatMap(entry => {
      const { name: size, targets = commonTargets(study), from, seeds: _, ends: __, ...own } = entry;
      if (!seedsOf(study, entry).includes(seed)) return [];
      const origin = `'${path}': size '${size}'`;
      const context = { study, entry, seed, fields: runFields(study, own, path, origin), origin };
      const runs: PlannedRun[] = [];
      let start: PlannedRun['from'];
      if (from !== undefined) {
        start = { folder: from };
      } else if (strategies.includes('source')) {
        runs.push(...planLine(context, 'source', source!));
        start = { run: runs.at(-1)!.name };
      }
      for (const target of targets) {
        if (strategies.includes('scratch')) runs.push(...planLine(context, 'scratch', target));
        if (!strategies.includes('cpt')) continue;
        if (!start) {
          throw new UserError(
            `${origin}: the CPT runs have no source: add 'source' to strategies, ` +
              'or give the size a checkpoint with from',
          );
        }
        runs.push(...planLine(context, 'cpt', target, { from: start }));
        for (const replayed of replaysOf(study, size, target, seed)) {
          runs.push(...planLine(context, 'cpt', target, { from: start, ...replayed }));
        }
        for (const { tokensPerParameter } of study.sourceEnds.filter(each => holdsFor(each, size, target, seed))) {
          for (const end of tokensPerParameter) {
            const from = runs.find(({ part, strategy }) => strategy === 'source' && isEnd(part, end))!;
            runs.push(...planLine(context, 'cpt', target, { from: { run: from.name }, sourceEnd: end }));
          }
        }
      }
      return runs;
    }),
  );
  return {
    name: study.name,
    folder: study.out,
    ...(source !== undefined && { source }),
    targets: targetsOf(study),
    runs,
    ...(study.slurm && { slurm: parseSlurm(study.slurm, `'${path}': slurm`) }),
  };
}

/** The most runs of a study. */
const MOST_RUNS = 10_000;

/** Counts the runs that a study may have before any is planned. @throws UserError when there are too many. */
function checkCount(study: StudyFile, path: string): void {
  const { sizes, replay, sourceEnds } = study;
  const ratios = replay.reduce((sum, { ratios, account }) => sum + (ratios?.length ?? 1) * account.length, 0);
  const earlier = sourceEnds.reduce((sum, { tokensPerParameter }) => sum + tokensPerParameter.length, 0);
  const most = sizes.reduce((sum, size) => {
    const parts = 2 * (endsOf(study, size)?.tokensPerParameter.length ?? 0.5);
    const lines = 1 + (size.targets ?? commonTargets(study)).length * (2 + ratios + earlier);
    return sum + seedsOf(study, size).length * lines * parts;
  }, 0);
  if (most <= MOST_RUNS) return;
  throw new UserError(
    `'${path}': sizes, targets, replay and seeds multiply to ${most} runs; ` + `a study has at most ${MOST_RUNS}`,
  );
}

/** The fields of a run that the study itself sets. */
const RESERVED = ['name', 'out', 'sources', 'heldOut', 'seed', 'dataSeed'] as const;

/** Returns the fields of a size's runs: those for all runs, with the size's own over them. */
function runFields(study: StudyFile, own: Record<string, unknown>, path: string, origin: string) {
  const all = parseFields(study.train, `'${path}': train`);
  const ofSize = parseFields(own, origin);
  for (const [given, where] of [
    [all, `'${path}': train`],
    [ofSize, origin],
  ] as const) {
    const reserved = RESERVED.find(field => given[field] !== undefined);
    if (reserved) throw new UserError(`${where}: '${reserved}' is the study's own to say; remove it`);
    if (given.stopAfter !== undefined) {
      throw new UserError(`${where}: 'stopAfter' ends runs before their budgets, which a study compares; remove it`);
    }
  }
  const fields = { ...all, ...ofSize };
  // there are two ways to give the budget, and the size's own wins
  if (ofSize.tokens !== undefined) delete fields.tokensPerParameter;
  if (ofSize.tokensPerParameter !== undefined) delete fields.tokens;
  return fields;
}

interface PlanContext {
  readonly study: StudyFile;
  readonly entry: StudySize;
  readonly seed: number;
  readonly fields: Record<string, unknown>;
  readonly origin: string;
}

/** How a CPT run starts, and what it replays. */
interface Continuation {
  readonly from: NonNullable<PlannedRun['from']>;
  readonly ratio?: number;
  /** The stages of replay whose mean is `ratio`. */
  readonly stages?: readonly ReplayStage[];
  readonly account?: ReplayAccount;
  readonly sourceEnd?: number;
}

/** Plans a run or, in a study with `ends`, its line: pieces of the trunk, and after each the end that branches off. */
function planLine(context: PlanContext, strategy: Strategy, language: string, cpt?: Continuation): PlannedRun[] {
  const whole = planRun(context, strategy, language, cpt);
  const { out } = context.study;
  const ends = endsOf(context.study, context.entry);
  if (!ends) return [whole];
  const line = whole.name;
  const replayed = whole.account === 'extra' ? 1 / (1 - whole.replay) : 1;
  /** Returns a part of `length` tokens per parameter that ends at `end`; it goes on from the part `previous`. */
  const part = (kind: LinePart['kind'], end: number, length: number, previous: string | undefined): PlannedRun => {
    const name = `${line}-${kind}${end}`;
    const { tokens: _, ...config } = whole.config;
    const own = { ...config, name, out: runFolder(out, name), tokensPerParameter: length * replayed };
    const how = {
      schedule: kind === 'trunk' ? 'constant' : 'anneal',
      ...(previous !== undefined && CONTINUED),
    } as const;
    if (previous !== undefined) for (const field of MODEL_FIELDS) delete own[field];
    return {
      ...whole,
      name,
      part: { line, kind, tokensPerParameter: end },
      config: { ...own, ...how },
      ...(previous !== undefined && { from: { run: previous } }),
    };
  };
  const { tokensPerParameter, anneal } = ends;
  let [previous, before]: [string | undefined, number] = [undefined, 0];
  return tokensPerParameter.flatMap(end => {
    const until = end * (1 - anneal);
    const trunk = part('trunk', end, until - before, previous);
    [previous, before] = [trunk.name, until];
    return [trunk, part('end', end, end - until, trunk.name)];
  });
}

/** The fields of a part that goes on from the one before. */
const CONTINUED = { warmup: 0, optimizerState: 'keep', dataOrder: 'continue' } as const;

function planRun(
  { study, entry, seed, fields, origin }: PlanContext,
  strategy: Strategy,
  language: string,
  cpt?: Continuation,
): PlannedRun {
  const { source, languages } = study;
  const { ratio: replay = 0, stages, account, sourceEnd } = cpt ?? {};
  const size = entry.name;
  const name = [
    size,
    strategy,
    ...(strategy === 'source' ? [] : [language]),
    ...(account ? [`replay${stages ? nameOfStages(stages) : replay}`, account] : []),
    ...(sourceEnd === undefined ? [] : [`from${sourceEnd}`]),
    ...(allSeeds(study).length > 1 ? [`seed${seed}`] : []),
  ].join('-');
  const own = { name: language, path: languages[language]! };
  const sources =
    replay > 0
      ? [
          { ...own, weight: stages ? targetStages(stages) : 1 - replay },
          { name: source!, path: languages[source!]!, weight: stages ? sourceStages(stages) : replay },
        ]
      : [own];
  const evaluated = strategy === 'cpt' && source !== undefined ? [language, source] : [language];
  const config: Record<string, unknown> = {
    keepCheckpoints: 1,
    ...fields,
    name,
    out: runFolder(study.out, name),
    sources,
    heldOut: Object.fromEntries(evaluated.map(name => [name, languages[name]!])),
    seed,
  };
  if (cpt) for (const field of MODEL_FIELDS) delete config[field];
  if (account === 'extra') addReplayed(config, replay);
  return {
    name,
    size,
    strategy,
    language,
    replay,
    ...(account && { account }),
    ...(sourceEnd !== undefined && { sourceEnd }),
    seed,
    config: parseConfig(config, origin),
    ...(cpt && { from: cpt.from }),
  };
}

/** Grows the budget so that the target language keeps its tokens beside the replayed ones. */
function addReplayed(config: Record<string, unknown>, replay: number): void {
  if (config.tokens !== undefined) config.tokens = Number(config.tokens) / (1 - replay);
  else config.tokensPerParameter = Number(config.tokensPerParameter ?? 20) / (1 - replay);
}

function replaysOf({ replay }: StudyFile, size: string, target: string, seed: number) {
  return replay
    .filter(entry => holdsFor(entry, size, target, seed))
    .flatMap(({ ratios = [], stages, account }) => {
      const shares = stages ? [{ ratio: meanRatio(stages), stages }] : ratios.map(ratio => ({ ratio }));
      return account.flatMap(account => shares.map(share => ({ ...share, account })));
    });
}
