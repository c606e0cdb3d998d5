/** What tokens of one tokenizer are to another whose vocabulary is its beginning. */
import { UserError } from '../errors.js';
import { isByteLevel } from './bpe-file.js';
import type { TextTokenizer } from './tokenizer.js';
import { parseTokenizerFile, replacementsOf } from './tokenizer-file.js';

/** The character that a decoder gives for bytes that are no whole character. */
const INCOMPLETE = '\ufffd';

/**
 * Checks that `extended` keeps all of `old`.
 * @throws UserError naming the first entry of `old`, by id, that is not in `extended` with the same id.
 */
export function checkExtends(old: TextTokenizer, extended: TextTokenizer): void {
  const entries = extended.vocabulary;
  for (const [entry, id] of [...old.vocabulary].sort(([, a], [, b]) => a - b)) {
    const other = entries.get(entry);
    if (other === id) continue;
    const found = other === undefined ? 'is not in the new one' : `has id ${other} in the new one`;
    throw new UserError(
      `the new tokenizer does not extend the model's: '${entry}' of id ${id} ${found}; ` +
        "ids of old tokens must stay, since the model's rows go by them",
    );
  }
}

/** A token that `old` does not have. */
export interface NewToken {
  readonly id: number;
  /** The text of the token decoded alone; a part of a character shows as U+FFFD. */
  readonly text: string;
  /**
   * The ids that `old` gives for the text. A token that ends within a character has those of its bytes. Empty where
   * there is no text, or no token of that id.
   */
  readonly pieces: readonly number[];
}

/** Returns the tokens of `extended` from the first id behind `old` on, one for each id. */
export async function newTokens(old: TextTokenizer, extended: TextTokenizer): Promise<NewToken[]> {
  const bytes = isByteLevel(old.json) ? old.vocabulary : undefined;
  const spelled = new Map([...extended.vocabulary].map(([entry, id]) => [id, entry]));
  const textOf = textsOf(extended);
  const tokens: NewToken[] = [];
  for (let id = old.vocabSize; id < extended.vocabSize; id++) {
    const entry = spelled.get(id);
    const text = entry === undefined ? '' : await textOf(id, entry);
    // the token stands within a text, so nothing is put before it
    const pieces =
      bytes && text.includes(INCOMPLETE)
        ? [...entry!].flatMap(symbol => bytes.get(symbol) ?? [])
        : await old.encode(text, { specialTokens: 'text', continues: true });
    tokens.push({ id, text, pieces });
  }
  return tokens;
}

/**
 * Returns a function that gives a token's text, with the blanks that SentencePiece's decoder would drop from the
 * beginning of a text.
 */
function textsOf(tokenizer: TextTokenizer): (id: number, entry: string) => Promise<string> {
  const replacements = isByteLevel(tokenizer.json) ? undefined : replacementsOf(parseTokenizerFile(tokenizer.json));
  if (!replacements) return id => tokenizer.decode([id]);
  return async (_, entry) => [...replacements].reduce((text, [from, to]) => text.replaceAll(to, from), entry);
}
