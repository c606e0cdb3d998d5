/** Measures how many tokens tokenizers make of a text. */
import type { BadRows } from './bad-rows.js';
import { DocumentEncoder } from './document-encoder.js';
import { readDocuments } from './documents.js';
import type { OnRead } from './text-stream.js';
import type { TextTokenizer } from './tokenizer.js';

export interface TokenMeasure {
  /** The UTF-8 bytes of the text. */
  readonly bytes: number;
  /** The number of tokens by each tokenizer, without the marks around documents. */
  readonly tokens: readonly number[];
}

/** Reads the files once. @throws UserError naming what cannot be read. */
export async function measureTokens(
  files: readonly string[],
  field: string,
  tokenizers: readonly TextTokenizer[],
  onRead?: OnRead,
  rows?: BadRows,
): Promise<TokenMeasure> {
  const tokens = tokenizers.map(() => 0);
  const encoders = tokenizers.map(tokenizer => new DocumentEncoder(tokenizer));
  let bytes = 0;
  for (const file of files) {
    for await (const part of readDocuments(file, field, onRead, rows)) {
      bytes += Buffer.byteLength(part.text);
      for (const [i, encoder] of encoders.entries()) {
        for await (const { ids, marks } of encoder.encode(part)) tokens[i]! += ids.length - marks;
      }
    }
  }
  return { bytes, tokens };
}
