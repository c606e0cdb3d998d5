/**
 * The scores by which llama.cpp merges as SentencePiece does, from the ranks by which tokenizer.json merges.
 *
 * Both join two neighbours at a time, of equals the leftmost: llama.cpp those whose joined text is the token of the
 * highest score, tokenizer.json those whose merge has the lowest rank. Several merges may make one token, but only one
 * of them ever does. For what becomes two neighbours in some text is joined within them alone, so the text of the two
 * goes the same way by itself; and the text of a token, by itself, has one last merge. Its rank, negated, is the score:
 * then the same neighbours are joined in the same order. A token that its own text does not become is made in no text,
 * and its score is never looked at: a single character, a byte, a special token.
 */
import type { Merge } from '../data/tokenizer-file.js';

/** How a token comes about from its own text. */
export interface TokenScore {
  /** Undefined where no merge makes the token. */
  readonly score: number | undefined;
  /** The neighbours that its text ends as where no merge joins them; llama.cpp would, since it is a token. */
  readonly apart: Merge | undefined;
}

export function tokenScores(tokens: readonly string[], merges: readonly Merge[]): TokenScore[] {
  const ranks = new Map(merges.map(([left, right], rank) => [`${left} ${right}`, rank]));
  return tokens.map(token => {
    const parts = [...token];
    let score: number | undefined;
    while (parts.length > 1) {
      let [best, place] = [Infinity, 0];
      for (let i = 1; i < parts.length; i++) {
        const rank = ranks.get(`${parts[i - 1]} ${parts[i]}`) ?? Infinity;
        if (rank < best) [best, place] = [rank, i];
      }
      if (best === Infinity) break;
      score = -best;
      parts.splice(place - 1, 2, parts[place - 1]! + parts[place]!);
    }
    const [left, right] = parts;
    return {
      score: parts.length === 1 ? score : undefined,
      apart: parts.length === 2 ? [left!, right!] : undefined,
    };
  });
}
