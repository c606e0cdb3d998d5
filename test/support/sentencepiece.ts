/** How llama.cpp makes tokens of a text by the keys of a tokenizer of SentencePiece, written from its description. */
import type { GgufFile } from './gguf.js';

const KINDS = { unknown: 2, control: 3, userDefined: 4 } as const;

/**
 * Returns the tokens of a text without those around it.
 * @param special whether special tokens that are spelled out are tokens.
 */
export function encodeAsLlamaCpp(values: GgufFile['values'], text: string, special: boolean): number[] {
  const tokens = values['tokenizer.ggml.tokens'] as string[];
  const kinds = values['tokenizer.ggml.token_type'] as number[];
  const isPhi3 = /phi-?3/i.test(values['general.name'] as string);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  // the longest token is looked for first, in all of the text that no longer one has taken
  let parts: (string | number)[] = [text];
  const sought: number[] = special ? Object.values(KINDS) : [KINDS.userDefined];
  const found = [...tokens.keys()].filter(id => sought.includes(kinds[id]!));
  found.sort((a, b) => Buffer.byteLength(tokens[b]!) - Buffer.byteLength(tokens[a]!));
  for (const id of found) {
    const strips = isPhi3 && !['<unk>', '<s>', '<|endoftext|>'].includes(tokens[id]!);
    parts = parts.flatMap(part => {
      if (typeof part === 'number') return [part];
      const [first, ...behind] = part.split(tokens[id]!);
      return [first!, ...behind.flatMap(rest => [id, strips ? rest.replace(/^[ \t\n\v\f\r]+/, '') : rest])];
    });
  }
  let isBehindToken = true;
  return parts.flatMap(part => {
    if (part === '') return [];
    if (typeof part === 'number') {
      isBehindToken = true;
      return [part];
    }
    const blank = values['tokenizer.ggml.add_space_prefix'] && isBehindToken ? ' ' : '';
    isBehindToken = false;
    return merged((blank + part).replaceAll(' ', '▁'), ids, values['tokenizer.ggml.scores'] as number[]);
  });
}

/** Joins the neighbours whose joined text is the token of the highest score, of equals the leftmost, until none is. */
function merged(text: string, ids: ReadonlyMap<string, number>, scores: readonly number[]): number[] {
  const symbols = [...text];
  const scoreAt = (i: number) => {
    const id = ids.get(symbols[i]! + (symbols[i + 1] ?? ''));
    return id === undefined || i + 1 >= symbols.length ? -Infinity : scores[id]!;
  };
  const pairs = symbols.map((_, i) => scoreAt(i));
  for (;;) {
    let best = 0;
    for (const [i, score] of pairs.entries()) if (score > pairs[best]!) best = i;
    if (symbols.length < 2 || pairs[best] === -Infinity) break;
    symbols.splice(best, 2, symbols[best]! + symbols[best + 1]!);
    pairs.splice(best, 1);
    pairs[best] = scoreAt(best);
    if (best > 0) pairs[best - 1] = scoreAt(best - 1);
  }
  return symbols.flatMap(symbol => {
    const id = ids.get(symbol);
    if (id !== undefined) return [id];
    return [...Buffer.from(symbol)].map(byte => ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)!);
  });
}
