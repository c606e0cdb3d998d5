/** Accuracies as `process_results` of lm_eval/api/task.py and `mean_stderr` of lm_eval/api/metrics.py define them. */
import type { ChoiceDocument } from './document.js';

export interface Mean {
  readonly mean: number;
  /** The sample deviation over √n; null for one question. */
  readonly stderr: number | null;
}

/** The shares of questions whose right choice is the likeliest, under the harness's names. */
export interface Accuracies {
  /** The likeliest choice is the one with the largest log-likelihood. */
  readonly acc: Mean;
  /**
   * The likeliest choice has the largest log-likelihood per character of the choice (code points, without the
   * delimiter). Null for choices in the context.
   */
  readonly acc_norm: Mean | null;
  /** The likeliest choice has the largest log-likelihood per UTF-8 byte of the choice. */
  readonly acc_bytes: Mean | null;
}

export function accuracies(
  documents: readonly ChoiceDocument[],
  samples: readonly { readonly logLikelihoods: readonly number[] }[],
): Accuracies {
  const by = (lengthOf: ((choice: string) => number) | undefined): Mean | null => {
    const hits: boolean[] = [];
    for (const [i, { choices, answer }] of documents.entries()) {
      if (lengthOf && !choices) return null;
      const values = samples[i]!.logLikelihoods.map((value, c) => (lengthOf ? value / lengthOf(choices![c]!) : value));
      hits.push(values.indexOf(Math.max(...values)) === answer);
    }
    return meanOf(hits);
  };
  return {
    acc: by(undefined)!,
    acc_norm: by(choice => [...choice].length),
    acc_bytes: by(choice => Buffer.byteLength(choice)),
  };
}

/** Returns the mean of n shares of 0 or 1, whose sample variance is p (1 − p) n / (n − 1). */
function meanOf(hits: readonly boolean[]): Mean {
  const n = hits.length;
  const mean = hits.filter(Boolean).length / n;
  return { mean, stderr: n > 1 ? Math.sqrt((mean * (1 - mean)) / (n - 1)) : null };
}
