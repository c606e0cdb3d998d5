/** The part of `plan` for text that is scarce: what passes over the same tokens are worth. */
import { UserError } from '../errors.js';
import { percent, short } from '../report/numbers.js';
import { interval } from '../scaling/bootstrap.js';
import type { Plan, PlannedLaw, Span } from '../scaling/plan.js';
import {
  PUBLISHED_REPETITION,
  planRepeated,
  type RepeatedOptimum,
  type Repetition,
  repeatedLossAt,
} from '../scaling/repetition.js';
import { repetitionSchema } from '../scaling/repetition-fit.js';
import { type SavedFit, toFit } from '../scaling/saved-fit.js';
import { inWords, whyInvalid } from '../schema.js';
import type { Terminal } from './command.js';

/** The constants of a law's repetition, and refits of them where they were fitted. */
export interface RepetitionOfLaw {
  readonly repetition: Repetition;
  readonly samples: readonly Repetition[];
  readonly source: string;
  readonly warnings: readonly string[];
}

export interface RepeatedPlan extends RepeatedOptimum {
  readonly source: string;
  readonly lossInterval: Span | null;
  /** The loss if all tokens of that run were different. */
  readonly lossIfNew: number;
  readonly warnings: readonly string[];
}

export const publishedRepetition: RepetitionOfLaw = {
  repetition: PUBLISHED_REPETITION,
  samples: [],
  source: 'published',
  warnings: [
    'what passes are worth is as Muennighoff et al. 2023 (arXiv 2305.16264) found for English text; fit your own ' +
      'with fit --law repetition',
  ],
};

/** Returns the fit that a JSON value is, and what repetition is worth where it says so. */
export function withRepetition(value: unknown, name: string): { fit: SavedFit; repeated: RepetitionOfLaw | undefined } {
  if ((value as { law?: unknown } | null)?.law !== 'repetition')
    return { fit: toFit(value, name), repeated: undefined };
  const parsed = repetitionSchema.safeParse(value, inWords);
  if (!parsed.success) throw new UserError(`'${name}' is not a fit: ${whyInvalid(parsed.error, 'law')}`);
  const { parameters, samples, open, base } = parsed.data;
  return {
    fit: base,
    repeated: {
      repetition: parameters,
      samples: samples.map(([R_D, R_N]) => ({ R_D, R_N })),
      source: name,
      warnings: open.map(each => `its points leave ${each} of '${name}' open: see the warnings of its fit`),
    },
  };
}

/** Plans the run on so many different tokens: the best split of the plan's compute, or the run that was given. */
export function planUnique(
  plan: Plan,
  { parameters: law, samples }: PlannedLaw,
  unique: number,
  { repetition, samples: constants, source, warnings }: RepetitionOfLaw,
): RepeatedPlan {
  const found = planRepeated(law, repetition, plan.C, unique, plan.given?.N);
  const refits = samples.map((sample, r) =>
    repeatedLossAt(sample, constants[r % Math.max(1, constants.length)] ?? repetition, found.N, found.D, unique),
  );
  return {
    ...found,
    source,
    lossInterval: interval(refits) ?? null,
    lossIfNew: repeatedLossAt(law, repetition, found.N, found.D, found.D),
    warnings,
  };
}

export function printRepeated(terminal: Terminal, plan: RepeatedPlan): void {
  const { uniqueTokens, N, D, passes, loss, lossInterval, lossIfNew, effectiveTokens, repetition, source } = plan;
  const spread = lossInterval ? ` (95%: ${lossInterval.map(value => value.toFixed(4)).join(' … ')})` : '';
  terminal.print(
    `with ${short(uniqueTokens)} different tokens: ${short(N)} parameters, ${short(D)} tokens, ${passes.toFixed(1)} ` +
      `passes: loss ${loss.toFixed(4)}${spread}; if all were new, ${lossIfNew.toFixed(4)}. The tokens are worth ` +
      `${short(effectiveTokens)} new ones, ${percent(effectiveTokens / D)} (R_D* ${repetition.R_D.toPrecision(4)}, ` +
      `R_N* ${repetition.R_N.toPrecision(4)}: ${source})`,
  );
}
