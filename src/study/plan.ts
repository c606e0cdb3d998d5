/** The runs that a study asks for. */
import { UserError } from '../errors.js';
import { MODEL_FIELDS, parseConfig } from '../run/config.js';
import {
  allSeeds,
  CONTINUATIONS,
  commonTargets,
  endsOf,
  holdsFor,
  isContinued,
  readStudyFile,
  type Strategy,
  type StudyFile,
  type StudySize,
  seedsOf,
  targetsOf,
} from './file.js';
import { armsOf, type LoraArm } from './lora.js';
import { isEnd, type LinePart, type PlannedRun, runFolder } from './planned-run.js';
import { meanRatio, nameOfStages, type ReplayAccount, type ReplayStage, sourceStages, targetStages } from './replay.js';
import { runFields } from './run-fields.js';
import { parseSlurm, type SlurmOptions } from './slurm/options.js';

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

/**
 * Reads a study file and plans its runs. `out` replaces its folder.
 * @throws UserError naming the file, the field, and what is wrong with it.
 */
export function readStudyPlan(path: string, out?: string): StudyPlan {
  return planStudy(readStudyFile(path, out), path);
}

function planStudy(study: StudyFile, path: string): StudyPlan {
  const { source, strategies, sizes } = study;
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
        const continuations = CONTINUATIONS.filter(strategy => strategies.includes(strategy));
        if (continuations.length === 0) continue;
        if (!start) {
          const kind = continuations[0] === 'cpt' ? 'CPT' : 'LoRA';
          throw new UserError(
            `${origin}: the ${kind} runs have no source: add 'source' to strategies, ` +
              'or give the size a checkpoint with from',
          );
        }
        for (const strategy of continuations) {
          const arms = strategy === 'cpt' ? [{}] : loraArms(study, size, target, seed);
          for (const arm of arms) {
            for (const replayed of [{}, ...replaysOf(study, strategy, size, target, seed)]) {
              runs.push(...planLine(context, strategy, target, { from: start, ...arm, ...replayed }));
            }
          }
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
  const names = runs.map(({ name }) => name);
  if (new Set(names).size < names.length) {
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    throw new UserError(
      `'${path}': two runs are named '${twice}': entries of replay, lora or sourceEnds ask for the same; leave one out`,
    );
  }
  return {
    name: study.name,
    folder: study.out,
    ...(source !== undefined && { source }),
    targets: targetsOf(study),
    runs,
    ...(study.slurm && { slurm: parseSlurm(study.slurm, `'${path}': slurm`) }),
  };
}

interface PlanContext {
  readonly study: StudyFile;
  readonly entry: StudySize;
  readonly seed: number;
  readonly fields: Record<string, unknown>;
  readonly origin: string;
}

/** How a run that goes on from a model starts, what it replays, and what adapters it trains. */
interface Continuation extends Partial<LoraArm> {
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
  if (strategy === 'lora') return planAdapterEnds(whole, out, ends);
  const line = whole.name;
  const replayed = shareAdded(whole);
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

/**
 * Plans the ends of a LoRA line: adapters are begun anew and have no moments to go on with, so that each end is a run
 * from the source, at the rates of a trunk and an anneal.
 */
function planAdapterEnds(whole: PlannedRun, out: string, ends: NonNullable<StudyFile['ends']>): PlannedRun[] {
  const { tokensPerParameter, anneal } = ends;
  const line = whole.name;
  const { tokens: _, ...config } = whole.config;
  const firstPiece = tokensPerParameter[0]! * (1 - anneal);
  const rates = { schedule: 'infinite', cooldown: 0, constantLearningRateRatio: 1, decay: anneal } as const;
  return tokensPerParameter.map(end => {
    const name = `${line}-end${end}`;
    const own = { name, out: runFolder(out, name), tokensPerParameter: end * shareAdded(whole) };
    const warmup = (config.warmup * firstPiece) / end;
    return {
      ...whole,
      name,
      part: { line, kind: 'end', tokensPerParameter: end },
      config: { ...config, ...own, ...rates, warmup },
    };
  });
}

/** What the budget of a line is multiplied by to keep the tokens of its own language beside replayed ones. */
const shareAdded = ({ account, replay }: PlannedRun): number => (account === 'extra' ? 1 / (1 - replay) : 1);

/** The fields of a part that goes on from the one before. */
const CONTINUED = { warmup: 0, optimizerState: 'keep', dataOrder: 'continue' } as const;

function planRun(
  { study, entry, seed, fields, origin }: PlanContext,
  strategy: Strategy,
  language: string,
  cpt?: Continuation,
): PlannedRun {
  const { source, languages } = study;
  const { ratio: replay = 0, stages, account, sourceEnd, lora, learningRate } = cpt ?? {};
  const size = entry.name;
  const name = [
    size,
    strategy,
    ...(strategy === 'source' ? [] : [language]),
    ...(lora ? [`rank${lora.rank}`] : []),
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
  const evaluated = isContinued(strategy) && source !== undefined ? [language, source] : [language];
  const config: Record<string, unknown> = {
    keepCheckpoints: 1,
    ...fields,
    ...(lora && { lora, learningRate }),
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
    ...(lora && { rank: lora.rank }),
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

const loraArms = ({ lora }: StudyFile, size: string, target: string, seed: number): LoraArm[] =>
  lora.filter(entry => holdsFor(entry, size, target, seed)).flatMap(armsOf);

function replaysOf(
  { replay }: StudyFile,
  strategy: (typeof CONTINUATIONS)[number],
  size: string,
  target: string,
  seed: number,
) {
  return replay
    .filter(entry => entry.strategies.includes(strategy) && holdsFor(entry, size, target, seed))
    .flatMap(({ ratios = [], stages, account }) => {
      const shares = stages ? [{ ratio: meanRatio(stages), stages }] : ratios.map(ratio => ({ ratio }));
      return account.flatMap(account => shares.map(share => ({ ...share, account })));
    });
}
