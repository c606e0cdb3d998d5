/** Reads run folders: their configuration and metrics, and which of them belong together. */
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../errors.js';
import { parseJson, readJson, readText } from '../input-files.js';
import { ownValue } from '../own.js';
import { type CurvePoint, type Savings, savingsAtEqualLoss } from '../scaling/savings.js';
import { inWords, whyInvalid } from '../schema.js';

const mixtureSchema = z.array(z.looseObject({ name: z.string(), weight: z.number() })).min(1);
const configSchema = z.looseObject({
  name: z.string(),
  /** The SHA-256 of the tokenizer.json. */
  tokenizer: z.string().optional(),
  method: z.enum(['scratch', 'cpt']),
  model: z.looseObject({ hiddenSize: z.number(), numHiddenLayers: z.number(), vocabSize: z.number() }),
  parameters: z.looseObject({ total: z.number(), withoutEmbeddings: z.number(), nominal: z.string().nullable() }),
  source: z
    .looseObject({
      name: z.string(),
      tokens: z.number(),
      flops: z.number(),
      tokensPerParameter: z.number(),
      checkpoint: z.string().optional(),
      sources: mixtureSchema.optional(),
      tokenizer: z.string().optional(),
    })
    .optional(),
  sources: mixtureSchema,
  tokens: z.number(),
  contextLength: z.number(),
  batchTokens: z.number(),
  schedule: z.looseObject({ schedule: z.string(), learningRate: z.number(), warmup: z.number() }),
  seed: z.number(),
  /** The adapter whose kernels were chosen; runs from before that was recorded have none. */
  kernels: z.looseObject({ adapter: z.string() }).optional(),
});

/**
 * Runs from before bytes were counted, or with the nats of separators, have no bits per byte; nor has an empty text.
 */
const lossSchema = z.object({ loss: z.number(), tokens: z.number(), bitsPerByte: z.number().nullish() });

const share = z.number().min(0).max(1);
const taskProbeSchema = z.object({
  accuracy: share,
  loss: z.number().nullable(),
  firstLoss: z.number().nullable(),
  tokens: z.number().positive(),
  chance: share,
});

const lineSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('step'),
    step: z.number(),
    tokens: z.number(),
    flops: z.number(),
    loss: z.number().nullable(),
    gradientNorm: z.number().nullable(),
    skipped: z.string().optional(),
    lossScale: z.number().optional(),
    learningRate: z.number(),
    tokensPerSecond: z.number(),
  }),
  z.object({
    kind: z.literal('evaluation'),
    step: z.number(),
    tokens: z.number(),
    flops: z.number(),
    heldOut: z.record(z.string(), lossSchema),
    heldOutAverage: z.record(z.string(), lossSchema).optional(),
  }),
  z.object({
    kind: z.literal('probe'),
    step: z.number(),
    tokens: z.number(),
    flops: z.number(),
    probes: z.record(z.string(), z.object({ copy: taskProbeSchema, induction: taskProbeSchema })),
  }),
]);
type Line = z.infer<typeof lineSchema>;

export interface RunRecord {
  readonly folder: string;
  readonly config: z.infer<typeof configSchema>;
  /**
   * The language that the source model of a CPT run was mostly trained on, if the model has a record of its training.
   */
  readonly sourceLanguage?: string | undefined;
  /** Whether its vocabulary differs from that of its source model's training, as far as is known. */
  readonly isExtended: boolean;
  readonly steps: readonly Extract<Line, { kind: 'step' }>[];
  readonly evaluations: readonly Extract<Line, { kind: 'evaluation' }>[];
  readonly probes: readonly Extract<Line, { kind: 'probe' }>[];
}

/**
 * Reads a run, finished or not; it leaves out a last line that a crash cut off.
 * @throws UserError naming the file, and the line that is not a metric.
 */
export function readRun(folder: string): RunRecord {
  const missing = (name: string) => `'${folder}' is not the folder of a run: it has no ${name}`;
  let config: RunRecord['config'];
  try {
    config = configSchema.parse(readJson(join(folder, 'config.json'), missing('config.json')), inWords);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`'${join(folder, 'config.json')}' is not the configuration of a run: ${whyInvalid(error)}`);
  }
  const texts = readText(join(folder, 'metrics.jsonl'), missing('metrics.jsonl')).split('\n');
  texts.pop(); // empty after the last line feed, or cut off
  const lines = texts.map((text, i) => {
    try {
      return lineSchema.parse(parseJson(text));
    } catch {
      throw new UserError(`'${join(folder, 'metrics.jsonl')}' line ${i + 1} is not a metric`);
    }
  });
  return {
    folder,
    config,
    ...sourceOf(config),
    steps: lines.filter(line => line.kind === 'step'),
    evaluations: lines.filter(line => line.kind === 'evaluation'),
    probes: lines.filter(line => line.kind === 'probe'),
  };
}

/**
 * Returns the runs and, after them, the averages of weights that some keep: as runs that were evaluated in the same
 * places.
 */
export function withAverages(runs: readonly RunRecord[]): RunRecord[] {
  const averages = runs.flatMap(run => {
    const evaluations = run.evaluations.flatMap(({ heldOutAverage, ...line }) =>
      heldOutAverage ? [{ ...line, heldOut: heldOutAverage }] : [],
    );
    if (evaluations.length === 0) return [];
    return [{ ...run, config: { ...run.config, name: `${run.config.name}, average` }, evaluations }];
  });
  return [...runs, ...averages];
}

const dataSchema = z.looseObject({ sources: mixtureSchema, tokenizer: z.string().optional() });

/**
 * Finds what a CPT run's source was trained on. Runs from before that was recorded have it read from the source's run.
 */
function sourceOf({ source, tokenizer }: RunRecord['config']): Pick<RunRecord, 'sourceLanguage' | 'isExtended'> {
  const data = source?.sources ? dataSchema.parse(source, inWords) : dataOfRun(source?.checkpoint);
  const isExtended = data?.tokenizer !== undefined && tokenizer !== undefined && data.tokenizer !== tokenizer;
  return { sourceLanguage: data && mainLanguage(data), isExtended };
}

/** Reads the data of the run that a checkpoint belongs to (RUN/checkpoints/step-…). */
function dataOfRun(checkpoint: string | undefined): z.infer<typeof dataSchema> | undefined {
  if (!checkpoint) return undefined;
  try {
    return dataSchema.parse(readJson(join(dirname(dirname(checkpoint)), 'config.json')));
  } catch {
    return undefined; // moved, or another program's model
  }
}

/** Returns the languages with a held-out set, in order of appearance. */
export function languagesOf(runs: readonly RunRecord[]): string[] {
  return [...new Set(runs.flatMap(run => run.evaluations.flatMap(({ heldOut }) => Object.keys(heldOut))))];
}

/** The language that a run is mostly trained on. */
export const targetOf = ({ config }: RunRecord): string => mainLanguage(config);

function mainLanguage({ sources }: Pick<RunRecord['config'], 'sources'>): string {
  return sources.reduce((best, source) => (source.weight > best.weight ? source : best)).name;
}

/**
 * The unit in which losses are compared: per token as long as all runs count the same tokens, else per byte of text.
 */
export type LossUnit = 'nats per token' | 'bits per byte';

/** The units as they stand in the head of a table. */
export const SHORT_UNITS: Readonly<Record<LossUnit, string>> = {
  'nats per token': 'nats/token',
  'bits per byte': 'bits/byte',
};

export const sameTokens = (a: RunRecord, b: RunRecord): boolean =>
  a.config.tokenizer === b.config.tokenizer && a.config.model.vocabSize === b.config.model.vocabSize;

/** Returns the unit for everything that is shown of these runs: a source model may count other tokens than its run. */
export const unitOf = (runs: readonly RunRecord[]): LossUnit =>
  runs.every(run => sameTokens(run, runs[0]!) && !run.isExtended) ? 'nats per token' : 'bits per byte';

/** Returns a held-out loss in a unit; undefined when there is none. */
export function lossIn(
  heldOut: RunRecord['evaluations'][number]['heldOut'],
  language: string,
  unit: LossUnit,
): number | undefined {
  const found = ownValue(heldOut, language);
  return (unit === 'nats per token' ? found?.loss : found?.bitsPerByte) ?? undefined;
}

/** Returns the held-out losses of a run in one language, in `unit`. */
export function curveOf(run: RunRecord, language: string, unit: LossUnit): CurvePoint[] {
  return run.evaluations.flatMap(({ tokens, flops, heldOut }) => {
    const loss = lossIn(heldOut, language, unit);
    return loss === undefined ? [] : [{ tokens, flops, loss }];
  });
}

/** A scratch and a CPT run of one size into one language. */
interface Pair {
  readonly scratch: RunRecord;
  readonly cpt: RunRecord;
  readonly language: string;
  /** The unit of all runs that are shown together. */
  readonly unit: LossUnit;
}

/** Pairs runs of one size: they have as many parameters, or, with other vocabularies, as many beside the embeddings. */
function pairsOf(runs: readonly RunRecord[]): Pair[] {
  const unit = unitOf(runs);
  return runs.flatMap(cpt => {
    if (cpt.config.method !== 'cpt') return [];
    const language = targetOf(cpt);
    return runs.flatMap(scratch => {
      if (scratch.config.method !== 'scratch' || targetOf(scratch) !== language) return [];
      const size = sameTokens(scratch, cpt) ? 'total' : 'withoutEmbeddings';
      if (scratch.config.parameters[size] !== cpt.config.parameters[size]) return [];
      return [{ scratch, cpt, language, unit }];
    });
  });
}

/**
 * Two runs with their savings. With other vocabularies the savings are in FLOPs alone: their tokens are not the same.
 */
export interface Comparison extends Pair {
  readonly savings: Savings;
}

/**
 * Returns every CPT run beside each run from scratch of its size and target language, with what it saved at equal loss.
 * @example
 * import { writeFileSync } from 'node:fs';
 * import { compareRuns, readRun, reportPage } from 'babelgrad';
 *
 * const runs = ['runs/english'].map(readRun);
 * console.log(compareRuns(runs));
 * writeFileSync('report.html', reportPage(runs, 'Runs'));
 */
export function compareRuns(runs: readonly RunRecord[]): Comparison[] {
  return pairsOf(runs).flatMap(pair => {
    const { scratch, cpt, language, unit } = pair;
    const savings = savingsAtEqualLoss(curveOf(scratch, language, unit), curveOf(cpt, language, unit));
    if (!savings) return [];
    return [{ ...pair, savings: sameTokens(scratch, cpt) ? savings : { ...savings, savedTokens: undefined } }];
  });
}

/** Returns the pairs that cannot be compared in bits per byte, since one run has none. */
export function refusedPairs(runs: readonly RunRecord[]): Pair[] {
  return pairsOf(runs).filter(
    ({ scratch, cpt, language, unit }) =>
      unit === 'bits per byte' &&
      [scratch, cpt].some(
        run => curveOf(run, language, 'nats per token').length > 0 && curveOf(run, language, unit).length === 0,
      ),
  );
}

/** Whether all runs make as many FLOPs for a token: then they are one and the same axis. */
export function isOneSize(runs: readonly RunRecord[]): boolean {
  const ends = runs.flatMap(({ evaluations }) => evaluations.filter(({ tokens }) => tokens > 0).slice(-1));
  const [first = 0, ...others] = ends.map(({ flops, tokens }) => flops / tokens);
  return others.every(other => Math.abs(other - first) <= 1e-9 * first);
}
