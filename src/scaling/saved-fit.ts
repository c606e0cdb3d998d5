/** The part of a fit that is read back from its JSON. */
import { z } from 'zod';
import { UserError } from '../errors.js';
import { inWords, whyInvalid } from '../schema.js';
import type { Diagnosis } from './diagnosis.js';
import { type LawParameters, parameterNames } from './law.js';

const span = z.tuple([z.number(), z.number()]);
const lawSchema = z.object({
  E: z.number(),
  A: z.number(),
  B: z.number(),
  alpha: z.number(),
  beta: z.number(),
  gamma: z.number(),
});
/** The least and the largest values among the points of the fit. */
const rangeSchema = z.object({ parameters: span, tokens: span, tokensPerParameter: span, compute: span });
export type FittedRange = z.infer<typeof rangeSchema>;

const fitted = {
  parameters: lawSchema,
  range: rangeSchema,
  /** The bootstrap's replicates, each [E, A, B, alpha, beta, gamma]. */
  samples: z.array(z.tuple([z.number(), z.number(), z.number(), z.number(), z.number(), z.number()])),
  /** Which count of parameters N is. */
  parameterCount: z.string(),
};
const holdout = z
  .object({
    holdout: z.union([z.enum(['largest', 'last']), z.number()]),
    best: z.enum(['chinchilla', 'extended']),
    laws: z.array(z.object({ law: z.enum(['chinchilla', 'extended']), heldOut: z.number(), parameters: lawSchema })),
  })
  .optional();
const diagnosis = z.object({ determined: z.boolean(), open: z.array(z.enum(parameterNames)).default([]) });
/** The part of a saved fit that is read back; the file holds more. */
export const savedFitSchema = z.discriminatedUnion('law', [
  z.object({ law: z.literal('chinchilla'), ...fitted, diagnosis, holdout }),
  z.object({ law: z.literal('cpt'), ...fitted, diagnosis, holdout, scratch: z.object(fitted) }),
]);
export type SavedFit = z.infer<typeof savedFitSchema>;
export type Fitted = z.infer<z.ZodObject<typeof fitted>>;
export type ScratchFit = Fitted & { readonly diagnosis: Pick<Diagnosis, 'determined' | 'open'> };

export function toLaw(sample: Fitted['samples'][number]): LawParameters {
  return Object.fromEntries(parameterNames.map((name, i) => [name, sample[i]!])) as unknown as LawParameters;
}

/**
 * Reads a fit from what `fit --json` printed.
 * @throws UserError naming the file and what is wrong with it
 */
export const parseFit = (text: string, file: string): SavedFit => toFit(parseFitJson(text, file), file);

/** Parses the JSON of a fit of any law. @throws UserError naming the file when it is none */
export function parseFitJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UserError(
      `'${file}' is not a fit: it is not JSON; make one with babelgrad fit POINTS --law LAW --out ${file}`,
    );
  }
}

/** Returns the fit that a JSON value is. @throws UserError naming the file and what is wrong with it */
export function toFit(value: unknown, file: string): SavedFit {
  if ((value as { law?: unknown } | null)?.law === 'compute') {
    throw new UserError(
      `'${file}' is a fit of loss against compute, which says nothing of parameters and tokens; ` +
        'use a chinchilla or cpt fit',
    );
  }
  const parsed = savedFitSchema.safeParse(value, inWords);
  if (parsed.success) return parsed.data;
  throw new UserError(`'${file}' is not a fit: ${whyInvalid(parsed.error, 'law')}`);
}
