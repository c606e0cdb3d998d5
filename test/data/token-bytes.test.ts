import { join } from 'node:path';
import { expect, test } from 'vitest';
import { predictedBytes, tokenBytes } from '../../src/data/token-bytes.js';
import { trainTokenizer } from '../../src/data/tokenizer.js';
import { temporaryFolder } from './temporary.js';

const { folder, write } = temporaryFolder();

test('of byte-level BPE the bytes of tokens add up to those of the text, the separator not counted', async () => {
  const text = 'Été à la plage, 灯台 😀\n\t"été" '.repeat(30);
  const options = { vocabSize: 280, field: 'text', out: join(folder, 'tokenizer.json') };
  const tokenizer = await trainTokenizer([write('a.txt', text)], options);
  const bytes = tokenBytes(tokenizer.json);
  expect(bytes).toHaveLength(280);
  for (const other of [text, 'ÿ 🏳️‍🌈 {"x": 1}\r\n']) {
    const ids = await tokenizer.encode(other);
    const sum = ids.reduce((total, id) => total + bytes[id]!, 0);
    expect(sum).toBe(Buffer.byteLength(other));
    const first = bytes[ids[0]!]!;
    expect(predictedBytes(bytes, Uint32Array.of(...ids, tokenizer.separatorId))).toBe(sum - first);
  }
});

test('other vocabularies are read as they are spelled, and added tokens as their text', () => {
  const added = [
    { id: 5, content: '</s>', special: true },
    { id: 7, content: 'naïve', special: false },
  ];
  const vocab = { '▁le': 0, é: 1, '<0x0A>': 2, '</s>': 5 };
  const json = JSON.stringify({ added_tokens: added, pre_tokenizer: null, model: { type: 'BPE', vocab, merges: [] } });
  expect([...tokenBytes(json)]).toEqual([3, 2, 1, 0, 0, 0, 0, 6]);
  const unigram = { type: 'Unigram', vocab: Object.keys(vocab).map(entry => [entry, -1]) };
  expect([...tokenBytes(JSON.stringify({ pre_tokenizer: null, model: unigram }))]).toEqual([3, 2, 1, 4]);
});
