/** The inputs that are kept for `audit replay`, and what each was kept for. */
import { type Given, givenOf, type Problem } from '../cases/case.js';
import type { Check } from './report.js';

export interface KeptInput {
  readonly family: string;
  readonly problem: Problem;
  /** The values, where they are others than the problem's own. */
  readonly given?: Given | undefined;
  readonly check: Check;
  /** The index in the output at which the error was largest. */
  readonly index?: number | undefined;
}

/** The most values of an input that is kept without having failed. */
const MOST_VALUES = 2 ** 16;

/**
 * Keeps for each kernel and variant the input with the largest error that passed, and for each of its metrics that
 * failed the input that failed most.
 */
export class Kept {
  readonly #inputs = new Map<string, KeptInput>();

  get inputs(): KeptInput[] {
    return [...this.#inputs.values()];
  }

  note(input: KeptInput): void {
    const { check, problem } = input;
    const { kernel, variant, metric, passed } = check;
    if (passed && (metric !== 'error' || countOf(problem) > MOST_VALUES)) return;
    const key = JSON.stringify([kernel, variant, passed ? 'passed' : metric]);
    const before = this.#inputs.get(key);
    if (!before || amountOf(check) > amountOf(before.check)) this.#inputs.set(key, input);
  }
}

/** Returns what several families kept; of two that have inputs of one kernel and variant, what the worse one kept. */
export function mergeKept(families: readonly Kept[]): KeptInput[] {
  const merged = new Kept();
  for (const input of families.flatMap(({ inputs }) => inputs)) merged.note(input);
  return merged.inputs;
}

const amountOf = ({ value }: Check): number => value ?? Number.POSITIVE_INFINITY;

const countOf = (problem: Problem): number =>
  Object.values(givenOf(problem)).reduce((sum, { length }) => sum + length, 0);
