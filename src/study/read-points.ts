/** Reads points.csv back, so that a report can be made where the runs are not. */
import { parse } from 'csv-parse/sync';
import { z } from 'zod';
import { messageOf, UserError } from '../errors.js';
import { parsePoints } from '../scaling/points.js';
import { inWords, whyInvalid } from '../schema.js';
import { STRATEGIES } from './file.js';
import type { StudyPoint } from './points.js';

/** Takes an empty cell for a value that the run does not have. */
const optional = <Schema extends z.ZodType>(schema: Schema) =>
  z.preprocess(value => (value === '' ? undefined : value), schema.optional());

const rowSchema = z.object({
  run: z.string().min(1),
  strategy: z.enum(STRATEGIES),
  language: z.string().min(1),
  size: z.string().min(1),
  seed: z.coerce.number(),
  parameters: z.coerce.number(),
  nominal: optional(z.coerce.number()),
  total: z.coerce.number(),
  withoutEmbeddings: z.coerce.number(),
  tokens: z.coerce.number(),
  targetTokens: z.coerce.number(),
  uniqueTokens: optional(z.coerce.number()),
  flops: z.coerce.number(),
  loss: z.coerce.number(),
  sourceLoss: optional(z.coerce.number()),
  copy: optional(z.coerce.number()),
  induction: optional(z.coerce.number()),
  sourceCopy: optional(z.coerce.number()),
  sourceInduction: optional(z.coerce.number()),
  learningRate: z.coerce.number(),
  sourceTokensPerParameter: optional(z.coerce.number()),
  sourceEnd: optional(z.coerce.number()),
  replay: z.coerce.number(),
  account: optional(z.string()),
  rank: optional(z.coerce.number()),
  warmupTokens: z.coerce.number(),
  annealed: z.enum(['true', 'false']).transform(text => text === 'true'),
});

/**
 * Reads points from the text of a study's points.csv.
 * @throws UserError naming the file, the row, and what is wrong with it.
 */
export function parseStudyPoints(text: string, file: string): StudyPoint[] {
  parsePoints(text, file, { exclude: ['warmup'], needed: ['seed', 'replay', 'flops'] }); // checks numbers and columns
  const records = parse(text, { bom: true, trim: true, skip_empty_lines: true, columns: true }) as unknown[];
  return records.map((record, i) => {
    try {
      return withoutUndefined(rowSchema.parse(record, inWords));
    } catch (error) {
      if (!(error instanceof z.ZodError)) throw new Error(messageOf(error));
      throw new UserError(
        `'${file}' row ${i + 1} is not a point of a study: ${whyInvalid(error)}; ` +
          'a study writes such a file with babelgrad study report DIR',
      );
    }
  });
}

function withoutUndefined(row: z.infer<typeof rowSchema>): StudyPoint {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined)) as unknown as StudyPoint;
}
