/** Scores tasks: from questions to tokens, log-likelihoods and accuracies. */
import { type Accuracies, accuracies } from './accuracy.js';
import type { ChoiceDocument } from './document.js';
import { type Encoder, encodeRequest, type Request, truncated } from './requests.js';
import type { TaskData } from './task.js';

/** Returns the summed log-likelihood in nats of the ids from `start` on, one sum for each request. */
export type Scorer = (requests: readonly Request[]) => Promise<ArrayLike<number>>;

/** The score of a question. */
export interface Sample {
  readonly where: string;
  readonly answer: number;
  /** The log-likelihood of each choice, in nats. */
  readonly logLikelihoods: readonly number[];
}

export interface TaskResult {
  readonly task: string;
  readonly files: readonly string[];
  readonly documents: number;
  readonly accuracies: Accuracies;
  /** The number of requests that lost the beginning of their context. */
  readonly truncated: number;
  readonly samples: readonly Sample[];
}

export interface EvaluateOptions {
  /** The most predictions that a sequence may have. */
  readonly maxLength: number;
  /** Is told how many more questions were tokenized. */
  readonly onEncoded?: (documents: number) => void;
}

/**
 * Scores all tasks. All their requests go to `score` at once, so that it can group them by length; requests with the
 * same tokens are scored once.
 * @throws UserError naming the row whose choice has no tokens, or too many.
 */
export async function evaluateTasks(
  tasks: readonly TaskData[],
  encoder: Encoder,
  score: Scorer,
  { maxLength, onEncoded }: EvaluateOptions,
): Promise<TaskResult[]> {
  const unique: Request[] = [];
  const places = new Map<string, number>();
  const placeOf = (request: Request): number => {
    const key = `${request.start} ${request.ids.join(' ')}`;
    const known = places.get(key);
    if (known !== undefined) return known;
    places.set(key, unique.length);
    return unique.push(request) - 1;
  };
  const encoded: { readonly places: readonly number[][]; readonly truncated: number }[] = [];
  for (const { documents } of tasks) {
    const rows: number[][] = [];
    let cut = 0;
    for (const { requests, where } of documents) {
      const row: number[] = [];
      for (const each of requests) {
        const whole = await encodeRequest(encoder, each, where);
        const request = truncated(whole, maxLength, where);
        if (request !== whole) cut++;
        row.push(placeOf(request));
      }
      rows.push(row);
      onEncoded?.(1);
    }
    encoded.push({ places: rows, truncated: cut });
  }
  const logLikelihoods = await score(unique);
  return tasks.map(({ task, files, documents }, i) => {
    const { places: rows, truncated: cut } = encoded[i]!;
    const samples = documents.map(({ where, answer }: ChoiceDocument, row): Sample => {
      const values = rows[row]!.map(place => logLikelihoods[place]!);
      if (values.some(Number.isNaN)) throw new Error(`${where}: the model's log-likelihood is not a number`);
      return { where, answer, logLikelihoods: values };
    });
    return {
      task,
      files,
      documents: documents.length,
      accuracies: accuracies(documents, samples),
      truncated: cut,
      samples,
    };
  });
}
