/** The study file: the schema of study.yaml. */
import { z } from 'zod';
import { UserError } from '../errors.js';
import { parseWith } from '../parse-fields.js';
import { readYaml } from '../run/yaml.js';
import { loraFields } from './lora.js';
import { faultOfReplay, replayFields } from './replay.js';

export const STRATEGIES = ['source', 'scratch', 'cpt', 'lora'] as const;
export type Strategy = (typeof STRATEGIES)[number];
/** Those that go on from a model of the source language. */
export const CONTINUATIONS = ['cpt', 'lora'] as const;
export const isContinued = (strategy: string): boolean => CONTINUATIONS.some(each => each === strategy);

const fields = z.record(z.string(), z.unknown());
const languages = z.array(z.string().min(1)).min(1);
const seeds = z.array(z.int().min(0)).min(1);
/**
 * Every run becomes a line: a trunk at a constant rate, from which a run branches off for each of these numbers of
 * tokens per parameter, in whose last share `anneal` the rate falls.
 */
const ends = z.strictObject({
  tokensPerParameter: z.array(z.number().positive()).min(1),
  anneal: z.number().gt(0).lt(1).default(0.2),
});
/** What an entry holds for; all where it does not say. */
const scope = {
  sizes: z.array(z.string()).min(1).optional(),
  targets: languages.optional(),
  seeds: seeds.optional(),
};
/** The strategies that replay. */
const replaying = z.array(z.enum(CONTINUATIONS)).min(1).default(['cpt']);
const studyFields = {
  name: z.string().min(1),
  /** The folder of the study. */
  out: z.string().min(1),
  /** Language → a folder made by `tokenize`. */
  languages: z.record(z.string().min(1), z.string().min(1)),
  source: z.string().min(1).optional(),
  /** The target languages; without this field, every language but the source. */
  targets: languages.optional(),
  /** What is run: all without this field, LoRA where the file has it. */
  strategies: z.array(z.enum(STRATEGIES)).min(1).optional(),
  /**
   * Each size has a name and the fields of its runs. It may have targets, seeds and ends of its own, and a checkpoint
   * for CPT.
   */
  sizes: z
    .array(
      z.looseObject({
        name: z.string().regex(/^[\w.-]+$/, 'must be letters, digits, ., - or _'),
        targets: languages.optional(),
        from: z.string().min(1).optional(),
        seeds: seeds.optional(),
        ends: ends.optional(),
      }),
    )
    .min(1),
  /** The fields of a run that hold for all runs. */
  train: fields.default({}),
  replay: z
    .array(
      z.strictObject({ ...replayFields, strategies: replaying, ...scope }).superRefine((entry, context) => {
        const fault = faultOfReplay(entry);
        if (fault !== undefined) context.addIssue({ code: 'custom', ...fault });
      }),
    )
    .default([]),
  /** Adapters beside the source model, in the place of CPT's training of all of it. */
  lora: z.array(z.strictObject({ ...loraFields, ...scope })).default([]),
  ends: ends.optional(),
  /** CPT from these ends of the source's line too, and not from its last alone. */
  sourceEnds: z
    .array(
      z.strictObject({
        tokensPerParameter: z.array(z.number().positive()).min(1),
        ...scope,
      }),
    )
    .default([]),
  seeds: seeds.default([0]),
  /** What the jobs of a cluster are asked for. */
  slurm: fields.optional(),
};
const studySchema = z.strictObject(studyFields);
export type StudyFile = z.infer<typeof studySchema> & { readonly strategies: readonly Strategy[] };
export type StudySize = StudyFile['sizes'][number];

/**
 * Reads a study file. `out` replaces its folder.
 * @throws UserError naming the file, the field, and what is wrong with it.
 */
export function readStudyFile(path: string, out?: string): StudyFile {
  const given = { ...readYaml(path), ...(out !== undefined && { out }) };
  const parsed = parseWith(studySchema, given, `'${path}'`);
  const { strategies = STRATEGIES.filter(strategy => strategy !== 'lora' || parsed.lora.length > 0) } = parsed;
  const study = { ...parsed, strategies: [...strategies] };
  checkNames(study, path);
  checkEnds(study, path);
  checkSourceEnds(study, path);
  checkCount(study, path);
  return study;
}

/** The target languages that hold for all sizes. */
export const commonTargets = ({ targets, languages, source }: StudyFile): readonly string[] =>
  targets ?? Object.keys(languages).filter(language => language !== source);

/** Every target language of the study. */
export const targetsOf = (study: StudyFile): readonly string[] => [
  ...new Set([...commonTargets(study), ...study.sizes.flatMap(({ targets }) => targets ?? [])]),
];

/** The ends of the lines of a size. */
export const endsOf = (study: StudyFile, size: StudySize): StudyFile['ends'] => size.ends ?? study.ends;

/** The seeds of a size. */
export const seedsOf = (study: StudyFile, size: StudySize): readonly number[] => size.seeds ?? study.seeds;

/** Every seed of the study. */
export const allSeeds = (study: StudyFile): number[] => [...new Set(study.sizes.flatMap(size => seedsOf(study, size)))];

/** Whether an entry of the file that may name sizes, targets and seeds holds for these. */
export const holdsFor = (
  { sizes, targets, seeds }: z.infer<z.ZodObject<typeof scope>>,
  size: string,
  target: string,
  seed: number,
): boolean => (sizes?.includes(size) ?? true) && (targets?.includes(target) ?? true) && (seeds?.includes(seed) ?? true);

function checkNames(study: StudyFile, path: string): void {
  const targets = targetsOf(study);
  const { source, languages, sizes, strategies, replay, lora, sourceEnds } = study;
  const languageNames = Object.keys(languages);
  const need = (name: string, known: readonly string[], field: string, kind: string) => {
    if (!known.includes(name)) {
      throw new UserError(`'${path}': ${field} names ${kind} '${name}'; there are ${known.join(', ')}`);
    }
  };
  if (source === undefined && (strategies.includes('source') || replay.length > 0)) {
    const what = strategies.includes('source') ? "the strategy 'source'" : 'replay';
    throw new UserError(`'${path}': ${what} needs a source language: give source, one of ${languageNames.join(', ')}`);
  }
  if (source !== undefined) need(source, languageNames, 'source', 'the language');
  for (const target of targets) need(target, languageNames, 'targets', 'the language');
  if (targets.length === 0) throw new UserError(`'${path}': there is no target language beside the source`);
  if (source !== undefined && targets.includes(source)) {
    throw new UserError(`'${path}': '${source}' is the source, and a target too`);
  }
  const sizeNames = sizes.map(({ name }) => name);
  const twice = sizeNames.find((name, i) => sizeNames.indexOf(name) !== i);
  if (twice !== undefined) throw new UserError(`'${path}': two sizes are named '${twice}'`);
  if (strategies.includes('lora') && lora.length === 0) {
    throw new UserError(
      `'${path}': the strategy 'lora' needs lora: entries with ranks and a learningRate, about ten times that of CPT`,
    );
  }
  for (const [field, entries] of Object.entries({ replay, lora, sourceEnds })) {
    for (const entry of entries) {
      for (const size of entry.sizes ?? []) need(size, sizeNames, `${field}.sizes`, 'the size');
      for (const target of entry.targets ?? []) need(target, targets, `${field}.targets`, 'the target');
      for (const seed of entry.seeds ?? [])
        need(String(seed), allSeeds(study).map(String), `${field}.seeds`, 'the seed');
    }
    const needed = field === 'lora' ? ['lora'] : field === 'replay' ? replay.flatMap(each => each.strategies) : ['cpt'];
    const missing = needed.find(strategy => entries.length > 0 && !strategies.some(each => each === strategy));
    if (missing !== undefined) throw new UserError(`'${path}': ${field} needs the strategy '${missing}'`);
  }
}

/** The most runs of a study. */
const MOST_RUNS = 10_000;

/** Counts the runs that a study may have before any is planned. @throws UserError when there are too many. */
function checkCount(study: StudyFile, path: string): void {
  const { sizes, replay, lora, sourceEnds } = study;
  const ratios = replay.reduce((sum, { ratios, account }) => sum + (ratios?.length ?? 1) * account.length, 0);
  const ranks = lora.reduce((sum, { ranks }) => sum + ranks.length, 0);
  const earlier = sourceEnds.reduce((sum, { tokensPerParameter }) => sum + tokensPerParameter.length, 0);
  const most = sizes.reduce((sum, size) => {
    const parts = 2 * (endsOf(study, size)?.tokensPerParameter.length ?? 0.5);
    const continued = (1 + ranks) * (1 + ratios) + earlier;
    const lines = 1 + (size.targets ?? commonTargets(study)).length * (1 + continued);
    return sum + seedsOf(study, size).length * lines * parts;
  }, 0);
  if (most <= MOST_RUNS) return;
  throw new UserError(
    `'${path}': sizes, targets, replay, ranks and seeds multiply to ${most} runs; a study has at most ${MOST_RUNS}`,
  );
}

/** Checks the ends of lines. @throws UserError when they do not grow, or a field says what they say. */
function checkEnds(study: StudyFile, path: string): void {
  const { train, sizes, replay } = study;
  for (const size of sizes) {
    const ends = endsOf(study, size);
    if (!ends) continue;
    if (replay.some(({ stages, sizes }) => stages && (sizes?.includes(size.name) ?? true))) {
      throw new UserError(
        `'${path}': replay has stages, which are parts of one run, and with ends a line of size '${size.name}' is ` +
          'several runs; give ratios',
      );
    }
    const where = size.ends ? `size '${size.name}': ends` : 'ends';
    ends.tokensPerParameter.forEach((end, i, all) => {
      const before = all[i - 1] ?? 0;
      if (end <= before) {
        throw new UserError(`'${path}': ${where}.tokensPerParameter must grow, and ${end} follows ${before}`);
      }
    });
    for (const field of ['tokens', 'tokensPerParameter', 'schedule', 'optimizerState', 'dataOrder']) {
      if (train[field] === undefined && size[field] === undefined) continue;
      const giver = train[field] === undefined ? `size '${size.name}'` : 'train';
      throw new UserError(`'${path}': ${giver}: with ends, '${field}' is the study's own to say; remove it`);
    }
  }
}

/** Checks that lines of sources have the ends that CPT is to start from. @throws UserError where one has not. */
function checkSourceEnds(study: StudyFile, path: string): void {
  const { sizes, sourceEnds, strategies } = study;
  if (sourceEnds.length > 0 && !strategies.includes('source')) {
    throw new UserError(`'${path}': sourceEnds needs the strategy 'source'`);
  }
  for (const { tokensPerParameter, sizes: named } of sourceEnds) {
    for (const size of sizes) {
      if (!(named?.includes(size.name) ?? true)) continue;
      const earlier = endsOf(study, size)?.tokensPerParameter.slice(0, -1) ?? [];
      const missing = tokensPerParameter.find(end => !earlier.includes(end));
      if (missing === undefined && size.from === undefined) continue;
      const why =
        size.from === undefined
          ? `there is no end of ${missing} tokens per parameter before the last; ` +
            `there are ${earlier.join(', ') || 'none'}`
          : 'its CPT runs start from a checkpoint, not from a source run';
      throw new UserError(`'${path}': sourceEnds: size '${size.name}': ${why}`);
    }
  }
}
