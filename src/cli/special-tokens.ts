/** What a special token that is spelled out in a text becomes: the flag, and what is said about it. */
import { Option } from 'commander';
import { SPECIAL_TOKENS, type SpecialTokens } from '../index.js';
import type { Terminal } from './command.js';

export const specialTokensOption = (standard: SpecialTokens): Option =>
  new Option('--special-tokens <as>', 'special tokens spelled out in a text (</s>, say): plain text, or those tokens')
    .choices(SPECIAL_TOKENS)
    .default(standard);

/** Says how many such tokens there were, if any. */
export function noteSpelledSpecialTokens(terminal: Terminal, spelled: number, as: SpecialTokens): void {
  if (spelled === 0) return;
  const [taken, other] = as === 'text' ? ['plain text', 'tokens'] : ['those tokens', 'text'];
  terminal.note(
    `special tokens are spelled out ${spelled} times in the text and were taken as ${taken}; ` +
      `--special-tokens ${other} takes them the other way`,
  );
}
