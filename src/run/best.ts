/** The evaluation of a run with the lowest loss of one language, and whether it is too long ago. */
import type { BestEvaluation } from '../checkpoint/training-record.js';
import { UserError } from '../errors.js';
import type { EvaluationLine } from './metrics.js';

/** The language whose loss is meant, and the evaluations without a lower one that end a run. */
export interface BestFields {
  readonly keepBest?: string | undefined;
  readonly stopAfter?: number | undefined;
}

export class Best {
  readonly #run: BestFields;
  #found: BestEvaluation | undefined;

  /** @param found the best one so far, of a run that goes on. */
  constructor(run: BestFields, found: BestEvaluation | undefined) {
    this.#run = run;
    this.#found = found;
  }

  get found(): BestEvaluation | undefined {
    return this.#found;
  }

  /** Takes an evaluation. @returns whether it is the best one so far. */
  take(step: number, heldOut: EvaluationLine['heldOut']): boolean {
    const { keepBest: language } = this.#run;
    if (language === undefined) return false;
    const { loss } = heldOut[language]!;
    const found = this.#found;
    const isBest = found === undefined || loss < found.loss;
    this.#found = isBest ? { language, step, loss, since: 0 } : { ...found, since: found.since + 1 };
    return isBest;
  }

  /** Whether there were so many evaluations since the best one that the run is to end. */
  get isLongAgo(): boolean {
    const { stopAfter = Infinity } = this.#run;
    return this.#found !== undefined && this.#found.since >= stopAfter;
  }
}

/** Returns the fields of the best evaluation. @throws UserError when no such loss is evaluated, or none is named. */
export function bestFields({ keepBest, stopAfter }: BestFields, languages: readonly string[]): BestFields {
  if (keepBest === undefined) {
    if (stopAfter === undefined) return {};
    throw new UserError('stopAfter counts evaluations since the lowest loss: say with keepBest of which language');
  }
  if (!languages.includes(keepBest)) {
    throw new UserError(`keepBest is '${keepBest}', and the run evaluates ${languages.join(', ')}; name one of them`);
  }
  return { keepBest, ...(stopAfter !== undefined && { stopAfter }) };
}
