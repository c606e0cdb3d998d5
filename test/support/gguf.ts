/** Models with tokenizers to be exported as GGUF, and a reader of such files, written from the format's description. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { exportGguf } from '../../src/checkpoint/gguf.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { floatsOfHalves } from '../../src/half.js';
import { type Json, LAYOUTS, writeCheckpoint } from './checkpoints.js';
import { sampleText } from './text.js';

export const LLAMA3 = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
export const QWEN = LLAMA3.replace('{1,3}', '');

export type TokenizerJson = Record<string, unknown> & {
  model: Record<string, unknown>;
  added_tokens: Record<string, unknown>[];
};

/** Makes a model folder in `root`, with a tokenizer of 300 entries for a model of 304, both edited. */
export async function folderOf(
  root: string,
  layout: string,
  pattern: string | undefined,
  edit: (tokenizer: TokenizerJson) => void = () => {},
  changes: Json = {},
) {
  const folder = mkdtempSync(join(root, 'model-'));
  const { config, ...rest } = LAYOUTS[layout]!;
  const own = { ...config, vocab_size: 304, bos_token_id: null, eos_token_id: 0, pad_token_id: null, ...changes };
  writeCheckpoint(folder, { ...rest, config: own });
  const text = join(root, 'text.txt');
  writeFileSync(text, sampleText(0, 6000));
  const path = join(folder, 'tokenizer.json');
  await trainTokenizer([text], { vocabSize: 300, out: path, ...(pattern !== undefined && { pattern }) });
  const json = JSON.parse(readFileSync(path, 'utf8')) as TokenizerJson;
  edit(json);
  writeFileSync(path, JSON.stringify(json));
  return folder;
}

export interface GgufFile {
  readonly values: Record<string, unknown>;
  readonly tensors: Map<string, { shape: number[]; type: number; values: Float32Array }>;
}

export function readGguf(path: string): GgufFile {
  const bytes = readFileSync(path);
  let at = 0;
  const take = (length: number) => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  const u32 = () => take(4).readUInt32LE();
  const u64 = () => Number(take(8).readBigUInt64LE());
  const text = () => take(u64()).toString();
  const value = (type: number): unknown => {
    if (type === 4) return u32();
    if (type === 5) return take(4).readInt32LE();
    if (type === 6) return take(4).readFloatLE();
    if (type === 7) return take(1)[0] === 1;
    if (type === 8) return text();
    if (type !== 9) throw new Error(`a value of type ${type}`);
    const inner = u32();
    return Array.from({ length: u64() }, () => value(inner));
  };
  expect([bytes.subarray(0, 4).toString(), bytes.readUInt32LE(4)]).toEqual(['GGUF', 3]);
  at = 8;
  const [tensorCount, valueCount] = [u64(), u64()];
  const values = Object.fromEntries(Array.from({ length: valueCount }, () => [text(), value(u32())]));
  const infos = Array.from({ length: tensorCount }, () => {
    const name = text();
    const shape = Array.from({ length: u32() }, u64).reverse();
    return { name, shape, type: u32(), offset: u64() };
  });
  const start = Math.ceil(at / 32) * 32;
  let end = 0;
  const tensors = new Map(
    infos.map(({ name, shape, type, offset }) => {
      expect(offset % 32, name).toBe(0);
      expect(offset, name).toBe(Math.ceil(end / 32) * 32);
      const count = shape.reduce((a, b) => a * b, 1);
      const width = type === 0 ? 4 : 2;
      end = offset + count * width;
      const data = new Uint8Array(bytes.subarray(start + offset, start + end)).buffer;
      const wide = () => new Float32Array(Uint32Array.from(new Uint16Array(data), word => word << 16).buffer);
      const floats = { 0: () => new Float32Array(data), 1: () => floatsOfHalves(data), 30: wide }[type]!();
      return [name, { shape, type, values: Float32Array.from(floats) }] as const;
    }),
  );
  expect(bytes.length).toBe(start + Math.ceil(end / 32) * 32);
  return { values, tensors };
}

export async function exported(root: string, folder: string, type: 'F32' | 'F16' | 'BF16'): Promise<GgufFile> {
  const out = join(mkdtempSync(join(root, 'out-')), 'gguf');
  const { weights, bytes } = await exportGguf(folder, out, { type });
  expect(weights).toEqual(['model.gguf']);
  const read = readGguf(join(out, 'model.gguf'));
  const stored = [...read.tensors.values()].reduce((sum, t) => sum + t.values.length * (t.type === 0 ? 4 : 2), 0);
  expect(bytes).toBe(stored);
  return read;
}
