/** The fields of a run that a study's file gives, for all runs and for those of a size. */
import { UserError } from '../errors.js';
import { parseFields, type RunFields } from '../run/config.js';
import type { StudyFile } from './file.js';

/** The fields of a run that the study itself sets. */
const RESERVED = ['name', 'out', 'sources', 'heldOut', 'seed', 'dataSeed'] as const;

/** Returns the fields of a size's runs: those for all runs, with the size's own over them. */
export function runFields(study: StudyFile, own: Record<string, unknown>, path: string, origin: string): RunFields {
  const all = parseFields(study.train, `'${path}': train`);
  const ofSize = parseFields(own, origin);
  checkFields(all, `'${path}': train`);
  checkFields(ofSize, origin);
  const fields = { ...all, ...ofSize };
  // there are two ways to give the budget, and the size's own wins
  if (ofSize.tokens !== undefined) delete fields.tokensPerParameter;
  if (ofSize.tokensPerParameter !== undefined) delete fields.tokens;
  return fields;
}

/** Checks that all runs can have these fields. @throws UserError naming one that they cannot. */
function checkFields(given: RunFields, where: string): void {
  const reserved = RESERVED.find(field => given[field] !== undefined);
  if (reserved) throw new UserError(`${where}: '${reserved}' is the study's own to say; remove it`);
  if (given.stopAfter !== undefined) {
    throw new UserError(`${where}: 'stopAfter' ends runs before their budgets, which a study compares; remove it`);
  }
  if (given.epochs !== undefined) {
    throw new UserError(
      `${where}: 'epochs' would be other budgets in each language, which a study compares by tokens; give tokens or ` +
        'tokensPerParameter in its place',
    );
  }
  if (given.lora) {
    throw new UserError(
      `${where}: 'lora' would hold for every run, and one from scratch has no model to keep; give the study's own ` +
        'lora, with ranks and a learningRate, in its place',
    );
  }
}
