/** The law of a plan: a published one, or a fit, whose file is read and parsed once. */
import { UserError } from '../errors.js';
import { readText } from '../input-files.js';
import type { PlannedLaw } from '../scaling/plan.js';
import { paperLaws, publishedLaws } from '../scaling/published.js';
import { parseFitJson, toLaw } from '../scaling/saved-fit.js';
import { publishedRepetition, type RepetitionOfLaw, withRepetition } from './plan-repetition.js';

/** A law by its name; `json` is what its file holds, and undefined of a published one. */
export interface NamedLaw {
  readonly name: string;
  readonly json: unknown;
}

/** @throws UserError when there is no such law, and no such file of JSON */
export function readLaw(name: string): NamedLaw {
  if (publishedLaws.has(name)) return { name, json: undefined };
  const neither = `'${name}' is neither the file of a fit nor one of ${[...publishedLaws.keys()].join(', ')}`;
  return { name, json: parseFitJson(readText(name, neither), name) };
}

/** Returns the law asked for, then those beside it. */
export function lawsOf(law: NamedLaw, other: string | undefined): { laws: PlannedLaw[]; repetition: RepetitionOfLaw } {
  const { laws, repetition } = planned(law);
  const first = laws[0]!;
  if (other === undefined) return { laws, repetition };
  const beside = planned(readLaw(other)).laws[0]!;
  if (beside.strategy === first.strategy) {
    throw new UserError(
      `'${law.name}' and '${other}' are both laws of ${first.strategy}; --other names one of the other strategy`,
    );
  }
  return { laws: [first, beside], repetition };
}

function planned({ name, json }: NamedLaw): { laws: PlannedLaw[]; repetition: RepetitionOfLaw } {
  const published = publishedLaws.get(name);
  if (published) {
    const beside = paperLaws.filter(other => name.startsWith('paper-') && other !== name);
    const laws = [published, ...beside.map(other => publishedLaws.get(other)!)];
    return { laws, repetition: publishedRepetition };
  }
  const { fit, repeated: repetition = publishedRepetition } = withRepetition(json, name);
  const toPlanned = (
    strategy: 'scratch' | 'cpt',
    { parameters, samples, range }: Omit<typeof fit, 'law' | 'diagnosis'>,
  ): PlannedLaw => ({
    name: strategy === 'scratch' && fit.law === 'cpt' ? `${name} (scratch)` : name,
    strategy,
    parameters,
    samples: samples.map(toLaw),
    range,
    ...(strategy === (fit.law === 'cpt' ? 'cpt' : 'scratch') && fit.holdout && { holdout: fit.holdout }),
    caveats: [
      ...(samples.length > 0 ? [] : [`'${name}' was fitted without a bootstrap: there are no intervals`]),
      ...(fit.diagnosis.determined ? [] : [`its points do not determine '${name}': see the warnings of its fit`]),
    ],
  });
  if (fit.law === 'chinchilla') return { laws: [toPlanned('scratch', fit)], repetition };
  return { laws: [toPlanned('cpt', fit), toPlanned('scratch', fit.scratch)], repetition };
}
