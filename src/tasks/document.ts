/**
 * Multiple choice by log-likelihood. Prompts, fields, metrics and the cut between context and continuation are those of
 * EleutherAI's lm-evaluation-harness, commit 4e7e0d47 (0.4.13.dev0, August 2026). Paths in the files here are paths in
 * it.
 */

/** The text `continuation`, which is scored given `context`; the context may be empty. */
export interface Continuation {
  readonly context: string;
  readonly continuation: string;
}

/** A question with as many continuations as it has choices. */
export interface ChoiceDocument {
  /** The file and the row, for messages. */
  readonly where: string;
  readonly requests: readonly Continuation[];
  /**
   * The texts by whose lengths scores are normalised. Undefined where the choice is in the context: lengths say
   * nothing.
   */
  readonly choices: readonly string[] | undefined;
  /** The index of the right choice. */
  readonly answer: number;
}

/** `target_delimiter` of lm_eval/config/task.py; no task here sets another. */
const DELIMITER = ' ';

/** Returns a question with one context and a continuation for each choice. */
export function choicesAfter(
  where: string,
  context: string,
  choices: readonly string[],
  answer: number,
): ChoiceDocument {
  const requests = choices.map(choice => ({ context, continuation: `${DELIMITER}${choice}` }));
  return { where, requests, choices, answer };
}

/** Returns a question with a context for each choice and one continuation: `multiple_input` of lm_eval/api/task.py. */
export function choicesBefore(
  where: string,
  contexts: readonly string[],
  continuation: string,
  answer: number,
): ChoiceDocument {
  const requests = contexts.map(context => ({ context, continuation: `${DELIMITER}${continuation}` }));
  return { where, requests, choices: undefined, answer };
}
