/** Bytes of text behind tokens: what losses of different vocabularies are compared by. */
import { isByteLevel } from './bpe-file.js';

interface TokenizerFile {
  readonly added_tokens?: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
  readonly model: { readonly vocab: Readonly<Record<string, number>> | readonly (readonly [string, number])[] };
}

/**
 * UTF-8 bytes of text that each token of a tokenizer.json stands for, by id; 0 for special tokens and unused ids. Exact
 * for byte-level BPE; elsewhere as the vocabulary spells its entries, '▁' as a space and '<0x0A>' as a byte.
 */
export function tokenBytes(json: string): Uint32Array {
  const { added_tokens: added = [], model } = JSON.parse(json) as TokenizerFile;
  const countBytes = isByteLevel(json) ? (entry: string) => [...entry].length : spelledBytes;
  const entries: (readonly [string, number])[] = Array.isArray(model.vocab)
    ? (model.vocab as readonly (readonly [string, number])[]).map(([entry], id) => [entry, id])
    : Object.entries(model.vocab as Readonly<Record<string, number>>);
  const ids = [...entries.map(([, id]) => id), ...added.map(({ id }) => id)];
  const bytes = new Uint32Array(ids.reduce((most, id) => Math.max(most, id), -1) + 1);
  for (const [entry, id] of entries) bytes[id] = countBytes(entry);
  for (const { id, content, special } of added) bytes[id] = special ? 0 : Buffer.byteLength(content);
  return bytes;
}

const spelledBytes = (entry: string): number =>
  /^<0x[0-9A-Fa-f]{2}>$/.test(entry) ? 1 : Buffer.byteLength(entry.replaceAll('▁', ' '));

/** Bytes of text that predictions of a sequence's tokens are about: of all but the first. */
export function predictedBytes(bytes: Uint32Array, ids: Uint32Array): number {
  let sum = 0;
  for (let i = 1; i < ids.length; i++) sum += bytes[ids[i]!] ?? 0;
  return sum;
}
