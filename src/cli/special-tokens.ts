/** What is said about special tokens that are spelled out in a text. */
import type { SpecialTokens } from '../index.js';
import type { Terminal } from './command.js';

/** Says how many such tokens there were, if any. */
export function noteSpelledSpecialTokens(terminal: Terminal, spelled: number, as: SpecialTokens): void {
  if (spelled === 0) return;
  const [taken, other] = as === 'text' ? ['plain text', 'tokens'] : ['those tokens', 'text'];
  terminal.note(
    `special tokens are spelled out ${spelled} times in the text and were taken as ${taken}; ` +
      `--special-tokens ${other} takes them the other way`,
  );
}
