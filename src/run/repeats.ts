/** How often a run's budget goes through its sources. */
import type { ResolvedRun } from './resolved.js';

/** The passes up to which repeated data is nearly as good as new (Muennighoff et al., 2023, arXiv 2305.16264). */
const GOOD_PASSES = 4;

/** Returns the passes over each source that the whole budget makes, in the order of the mixture. */
export function passesOf({ sources, tokens }: Pick<ResolvedRun, 'sources' | 'tokens'>) {
  const total = sources.reduce((sum, { weight }) => sum + weight, 0);
  return sources.map(({ name, path, weight, trainTokens }) => ({
    name,
    path,
    passes: ((weight / total) * tokens) / trainTokens,
  }));
}

/** Says what a user should know about the passes before a run starts. */
export function repeatNotes(run: Pick<ResolvedRun, 'sources' | 'tokens'>): string[] {
  return passesOf(run).flatMap(({ name, path, passes }) =>
    passes <= GOOD_PASSES
      ? []
      : [
          `warning: the budget goes ${passes.toFixed(1)} times through the training tokens of '${name}' ` +
            `(${path}): up to ${GOOD_PASSES} passes ` +
            'are nearly as good as new text, more gain less and less (Muennighoff et al., 2023, arXiv 2305.16264); ' +
            'add text, or lower the budget or its share of the mixture',
        ],
  );
}
