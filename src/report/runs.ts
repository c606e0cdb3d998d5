/** Reads run folders: their configuration and metrics, and which of them belong together. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { messageOf, UserError } from '../errors.js';
import { type CurvePoint, type Savings, savingsAtEqualLoss } from '../scaling/savings.js';

const configSchema = z.looseObject({
  name: z.string(),
  method: z.enum(['scratch', 'cpt']),
  model: z.looseObject({ hiddenSize: z.number(), numHiddenLayers: z.number(), vocabSize: z.number() }),
  parameters: z.looseObject({ total: z.number(), withoutEmbeddings: z.number(), nominal: z.string().nullable() }),
  source: z.looseObject({ name: z.string(), tokens: z.number(), flops: z.number() }).optional(),
  sources: z.array(z.looseObject({ name: z.string(), weight: z.number() })),
  tokens: z.number(),
  contextLength: z.number(),
  batchTokens: z.number(),
  schedule: z.looseObject({ schedule: z.string(), learningRate: z.number() }),
  seed: z.number(),
});

const lineSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('step'),
    step: z.number(),
    tokens: z.number(),
    flops: z.number(),
    loss: z.number(),
    gradientNorm: z.number().nullable(),
    lossScale: z.number().optional(),
    learningRate: z.number(),
    tokensPerSecond: z.number(),
  }),
  z.object({
    kind: z.literal('evaluation'),
    step: z.number(),
    tokens: z.number(),
    flops: z.number(),
    heldOut: z.record(z.string(), z.object({ loss: z.number(), tokens: z.number() })),
  }),
]);
type Line = z.infer<typeof lineSchema>;

export interface RunRecord {
  readonly folder: string;
  readonly config: z.infer<typeof configSchema>;
  readonly steps: readonly Extract<Line, { kind: 'step' }>[];
  readonly evaluations: readonly Extract<Line, { kind: 'evaluation' }>[];
}

/**
 * Reads a run, finished or not; a last line that a crash cut off is left out.
 * @throws UserError naming the file, and the line of what is not a metric.
 */
export function readRun(folder: string): RunRecord {
  const read = (name: string) => {
    try {
      return readFileSync(join(folder, name), 'utf8');
    } catch {
      throw new UserError(`'${folder}' is not the folder of a run: it has no ${name}`);
    }
  };
  let config: RunRecord['config'];
  try {
    config = configSchema.parse(JSON.parse(read('config.json')));
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`'${join(folder, 'config.json')}' is not the configuration of a run: ${messageOf(error)}`);
  }
  const texts = read('metrics.jsonl').split('\n');
  texts.pop(); // empty after the last line feed, or cut off
  const lines = texts.map((text, i) => {
    try {
      return lineSchema.parse(JSON.parse(text));
    } catch {
      throw new UserError(`'${join(folder, 'metrics.jsonl')}' line ${i + 1} is not a metric`);
    }
  });
  return {
    folder,
    config,
    steps: lines.filter(line => line.kind === 'step'),
    evaluations: lines.filter(line => line.kind === 'evaluation'),
  };
}

/** Languages with a held-out set, in order of appearance. */
export function languagesOf(runs: readonly RunRecord[]): string[] {
  return [...new Set(runs.flatMap(run => run.evaluations.flatMap(({ heldOut }) => Object.keys(heldOut))))];
}

/** The language that a run is mostly trained on. */
export function targetOf({ config: { sources } }: RunRecord): string {
  return sources.reduce((best, source) => (source.weight > best.weight ? source : best)).name;
}

export function curveOf(run: RunRecord, language: string): CurvePoint[] {
  return run.evaluations.flatMap(({ tokens, flops, heldOut }) => {
    const found = heldOut[language];
    return found ? [{ tokens, flops, loss: found.loss }] : [];
  });
}

/** A scratch and a CPT run of one size into one language. */
export interface Comparison {
  readonly scratch: RunRecord;
  readonly cpt: RunRecord;
  readonly language: string;
  readonly savings: Savings;
}

export function compareRuns(runs: readonly RunRecord[]): Comparison[] {
  const sizeOf = ({ config: { parameters } }: RunRecord) => parameters.total;
  return runs.flatMap(cpt => {
    if (cpt.config.method !== 'cpt') return [];
    const language = targetOf(cpt);
    return runs.flatMap(scratch => {
      const comparable =
        scratch.config.method === 'scratch' && targetOf(scratch) === language && sizeOf(scratch) === sizeOf(cpt);
      const savings = comparable && savingsAtEqualLoss(curveOf(scratch, language), curveOf(cpt, language));
      return savings ? [{ scratch, cpt, language, savings }] : [];
    });
  });
}
