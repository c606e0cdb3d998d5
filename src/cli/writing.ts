/** Whether a model has been trained enough to write. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isCheckpointFolder } from '../checkpoint/find.js';
import { readTrainingState } from '../checkpoint/training-record.js';
import { readRun } from '../report/runs.js';

/**
 * A model that gives the next token of held-out text less than one part in so many on average puts words together at
 * random: GPT-2's smallest has about 30.
 */
const MOST_PERPLEXITY = 100;
/** The tokens per parameter that are optimal from scratch, and a share of them that no text comes of. */
const USUAL_TOKENS = 20;
const FEWEST_TOKENS = 1;

/**
 * Says that a checkpoint of a run cannot write yet: by the held-out loss in its best language or, where that was not
 * evaluated, by the tokens that it has seen. Undefined where it can, or there is no record of it.
 */
export function notYetWriting(checkpoint: string): string | undefined {
  const folder = dirname(dirname(checkpoint));
  const files = [
    join(checkpoint, 'training.json'),
    ...['config.json', 'metrics.jsonl'].map(name => join(folder, name)),
  ];
  if (!isCheckpointFolder(checkpoint) || !files.every(existsSync)) return undefined;
  const { step, tokens, parameters } = readTrainingState(checkpoint);
  const { config, evaluations } = readRun(folder);
  const losses = Object.entries(evaluations.findLast(line => line.step === step)?.heldOut ?? {});
  const [best] = losses.sort(([, a], [, b]) => a.loss - b.loss);
  const seen = (config.source?.tokens ?? 0) + tokens;
  const isForeign = config.source?.tokens === 0; // what a model from elsewhere has seen is not recorded
  const ratio = Number((seen / parameters).toPrecision(2));
  const after = isForeign ? '' : `, after ${ratio} tokens per parameter (${USUAL_TOKENS} are usual)`;
  if (best) {
    const [language, { loss }] = best;
    const perplexity = Math.exp(loss);
    if (perplexity < MOST_PERPLEXITY) return undefined;
    return `this model cannot write yet: its held-out perplexity is ${Math.round(perplexity)} in ${language}${after}`;
  }
  return isForeign || ratio >= FEWEST_TOKENS ? undefined : `this model cannot write yet${after}`;
}
