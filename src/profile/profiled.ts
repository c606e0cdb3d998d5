/** What is profiled where fields of a configuration describe the model and the batch. */
import { UserError } from '../errors.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import type { ModelConfig } from '../model/config.js';
import { recipeFor } from '../model/recipe.js';
import type { RunFields } from '../run/config.js';
import { documentEndOf, stepShape } from '../run/step-shape.js';
import type { Profiled, SubjectName } from './subject.js';

/** The sequences that run at once where nothing is trained, as `eval loss` and `generate` have for one prompt. */
const SEQUENCES = { eval: 8, decode: 1 } as const;

/** Returns the subject to profile. @throws UserError when the batch does not fit the model. */
export function profiledOf(
  what: SubjectName,
  fields: RunFields,
  config: ModelConfig,
  adapter: AdapterDescription,
): Profiled {
  if (what === 'step') return { what, config, settings: stepShape(fields, adapter, config).settings };
  const usual = Math.min(recipeFor(config).contextLength, config.maxPositionEmbeddings);
  const { contextLength: T = usual, microBatch: B = SEQUENCES[what] } = fields;
  if (T > config.maxPositionEmbeddings) {
    throw new UserError(`contextLength ${T} exceeds the ${config.maxPositionEmbeddings} positions of the model`);
  }
  return { what, config, settings: { B, T, documentEnd: documentEndOf(fields) } };
}
