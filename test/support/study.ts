/** Study folders as training would leave them, with losses on known laws: nothing is trained. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkpointFolder } from '../../src/checkpoint/find.js';
import { recordedWeights } from '../../src/data/shares.js';
import { Random } from '../../src/random.js';
import { type LawParameters, lossAt } from '../../src/scaling/law.js';
import { isContinued } from '../../src/study/file.js';
import { readStudyPlan, type StudyPlan } from '../../src/study/plan.js';
import { type PlannedRun, runFolder } from '../../src/study/planned-run.js';
import { writePlan } from '../../src/study/state.js';

const SCRATCH: LawParameters = { E: 1.7, A: 60, B: 90, alpha: 0.3, beta: 0.28, gamma: 0 };
/** Lower all along, and less so with more tokens. */
const CPT: LawParameters = { ...SCRATCH, B: 65, beta: 0.25, gamma: 0.02 };
const STEPS = 200;
const EVALUATIONS = 10;

export interface MakeStudyOptions {
  readonly sizes?: readonly number[];
  readonly languages?: readonly string[];
  readonly seeds?: readonly number[];
  readonly ratios?: readonly number[];
  /** Those of adapters, whose runs learn less and forget less than CPT. */
  readonly ranks?: readonly number[];
  /** Replay in stages, of the largest size. */
  readonly stages?: readonly { readonly until: number; readonly ratio: number }[];
}

/** Plans a study of an English source in `folder`, and writes its plan. */
export function makeStudy(
  folder: string,
  {
    sizes = [1e5, 2e5, 4e5, 8e5],
    languages = ['fr'],
    seeds = [0],
    ratios = [],
    ranks = [],
    stages,
  }: MakeStudyOptions = {},
): StudyPlan {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'study.yaml');
  const study = {
    name: 'synthetic',
    out: folder,
    languages: Object.fromEntries(['en', ...languages].map(language => [language, `data/${language}`])),
    source: 'en',
    sizes: sizes.map(parameters => ({ name: nameOf(parameters), preset: 'tiny', tokens: 20 * parameters })),
    replay: [...(ratios.length > 0 ? [{ ratios }] : []), ...(stages ? [{ stages }] : [])].map(given => ({
      ...given,
      account: ['extra', 'budget'],
      sizes: [nameOf(sizes.at(-1)!)],
    })),
    ...(ranks.length > 0 && { lora: [{ ranks, learningRate: 1e-2 }] }),
    seeds,
  };
  writeFileSync(file, JSON.stringify(study)); // JSON is YAML
  const plan = readStudyPlan(file);
  writePlan(plan);
  return plan;
}

const nameOf = (parameters: number): string => `${parameters / 1e6}M`;

/** Writes what a run has after `share` of its steps; a whole one has its last checkpoint. */
export function makeRun(plan: StudyPlan, run: PlannedRun, share = 1): void {
  const folder = runFolder(plan.folder, run.name);
  const parameters = Number(run.size.replace('M', '')) * 1e6;
  const tokens = run.config.tokens!;
  const batchTokens = tokens / STEPS;
  mkdirSync(folder, { recursive: true });
  const config = {
    name: run.name,
    method: isContinued(run.strategy) ? 'cpt' : 'scratch',
    model: { hiddenSize: 64, numHiddenLayers: 2, vocabSize: 1000 },
    parameters: { total: parameters, withoutEmbeddings: 0.7 * parameters, nominal: null },
    ...(isContinued(run.strategy) && {
      source: { name: `${run.size}-source`, tokens, flops: 6 * parameters * tokens, tokensPerParameter: 20 },
    }),
    sources: recordedWeights(run.config.sources).map((weights, i) => ({ ...run.config.sources[i], ...weights })),
    tokens,
    steps: STEPS,
    contextLength: 128,
    batchTokens,
    schedule: { schedule: 'cosine', learningRate: 1e-3, warmup: 0.05 },
    seed: run.seed,
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const steps = Math.round(share * STEPS);
  const lines = Array.from({ length: steps + 1 }, (_, step) => linesOfStep(plan, run, parameters, step)).flat();
  writeFileSync(join(folder, 'metrics.jsonl'), lines.map(line => `${JSON.stringify(line)}\n`).join(''));
  if (steps === STEPS) mkdirSync(checkpointFolder(folder, STEPS), { recursive: true });
}

/** A step's line, with its evaluation where there is one. */
export function linesOfStep(plan: StudyPlan, run: PlannedRun, parameters: number, step: number): object[] {
  const tokens = (step * run.config.tokens!) / STEPS;
  const flops = 6 * parameters * tokens;
  const random = new Random(run.seed, run.name, step);
  const noisy = (loss: number) => loss * Math.exp(0.003 * random.normal());
  const index = plan.targets.indexOf(run.language);
  const target = tokens * (1 - run.replay);
  const isAdapter = run.rank !== undefined;
  const continued = { ...CPT, B: CPT.B * (1 + 0.06 * index) * (isAdapter ? 1.2 : 1) };
  const law = isContinued(run.strategy) ? continued : SCRATCH;
  const loss = step === 0 ? 6.9 : lossAt(law, parameters, target);
  const risen = forgotten(run.replay, step / STEPS) * (isAdapter ? 0.5 : 1);
  const sourceLoss = lossAt(SCRATCH, parameters, 20 * parameters) + risen;
  const heldOut = {
    [run.language]: { loss: noisy(loss), tokens: 9999 },
    ...(isContinued(run.strategy) && { en: { loss: noisy(sourceLoss), tokens: 9999 } }),
  };
  const at = { step, tokens, flops };
  return [
    ...(step > 0
      ? [{ kind: 'step', ...at, loss: noisy(loss), gradientNorm: 1, learningRate: 1e-3, tokensPerSecond: 3000 }]
      : []),
    ...(step % (STEPS / EVALUATIONS) === 0 ? [{ kind: 'evaluation', ...at, heldOut }] : []),
  ];
}

/** Rises with steps, less so with replay, of which much lets the loss fall again. */
const forgotten = (replay: number, share: number): number => {
  const rise = 1.2 * Math.sqrt(share);
  return rise * (1 - Math.min(1, 2.2 * Math.sqrt(replay)) * Math.sqrt(share)) - 0.1 * replay * share;
};
