import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type CountedWord, continueBpe, learnMerges } from '../../src/data/bpe-continue.js';
import { isByteLevel } from '../../src/data/bpe-file.js';
import { readDocuments } from '../../src/data/documents.js';
import { measureTokens } from '../../src/data/measure-tokens.js';
import { checkExtends, newTokens } from '../../src/data/token-pieces.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { UserError } from '../../src/errors.js';
import { packageRoot } from '../../src/files.js';
import { Random } from '../../src/random.js';
import { temporaryFolder } from './temporary.js';

const { folder, write } = temporaryFolder();
const sample = (language: string) => join(packageRoot, 'src/demo/text', `${language}.jsonl.gz`);
const japanese = '吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。😀😁😀🙂';
const other = write('other.txt', `${`${japanese}\n\n  l'été, c'est "l'été"…\t`.repeat(40)}`);

let old: TextTokenizer;
let extended: TextTokenizer;
beforeAll(async () => {
  old = await trainTokenizer([sample('en')], { vocabSize: 512, field: 'text', out: join(folder, 'old.json') });
  extended = await continueBpe(old, [sample('fr'), other], { add: 700, field: 'text' });
});

interface File {
  added_tokens: Record<string, unknown>[];
  model: { vocab: Record<string, number>; merges: unknown[] };
}
const parse = (json: string) => JSON.parse(json) as File;

describe('a continued BPE', () => {
  test('keeps every id, and every merge in its place', () => {
    expect(extended.vocabSize).toBe(old.vocabSize + 700);
    for (const [entry, id] of old.vocabulary) expect(extended.vocabulary.get(entry), entry).toBe(id);
    const merges = parse(old.json).model.merges;
    expect(parse(extended.json).model.merges.slice(0, merges.length)).toEqual(merges);
    expect(extended.separatorId).toBe(old.separatorId);
  });

  test('every new token can be reached: by its own text, or, where that is no whole word or character, in the text', async () => {
    const unreached = new Map<number, string>();
    for (const { id, text } of await newTokens(old, extended)) {
      const ids = await extended.encode(text);
      if (ids.length !== 1 || ids[0] !== id) unreached.set(id, text);
    }
    // whole words and characters are reached by themselves; these are parts of characters, and what the pattern cuts
    // apart
    for (const text of unreached.values()) expect(text).toMatch(/\ufffd|\s/);
    expect(unreached.size).toBeLessThan(10);
    for (const file of [other, sample('fr')]) {
      for await (const { text } of readDocuments(file, 'text')) {
        for (const id of await extended.encode(text)) unreached.delete(id);
      }
    }
    expect([...unreached]).toEqual([]);
  });

  test('gives back any text, and makes fewer tokens of the new language', async () => {
    for (const text of [japanese, "L'été où naît 𝕏 — l'œuvre\r\n", '<|endoftext|>']) {
      expect(await extended.decode(await extended.encode(text))).toBe(text);
    }
    const { bytes, tokens } = await measureTokens([sample('fr')], 'text', [old, extended]);
    expect(bytes).toBeGreaterThan(2e6);
    expect(tokens[1]!).toBeLessThan(0.7 * tokens[0]!);
  });

  test('the same text gives the same file', async () => {
    const again = await continueBpe(old, [sample('fr'), other], { add: 700, field: 'text' });
    expect(again.json).toBe(extended.json);
  });

  test('pieces of new tokens are old tokens with the same text', async () => {
    for (const { text, pieces } of await newTokens(old, extended)) {
      expect(pieces.length).toBeGreaterThan(1);
      for (const piece of pieces) expect(piece).toBeLessThan(old.vocabSize);
      expect(await old.decode(pieces)).toBe(text);
    }
  });

  test('added tokens that are not in the vocabulary keep their ids, and merges their spelling', async () => {
    const file = parse(old.json);
    const { '<|endoftext|>': _, ...rest } = file.model.vocab;
    const vocab = Object.fromEntries(Object.entries(rest).map(([entry, id]) => [entry, id - 1]));
    const end = { ...file.added_tokens[0]!, id: old.vocabSize - 1, content: '<eos>' };
    const merges = (file.model.merges as string[][]).map(merge => merge.join(' '));
    const json = JSON.stringify({ ...file, added_tokens: [end], model: { ...file.model, vocab, merges } });
    const before = TextTokenizer.parse(json);
    const after = await continueBpe(before, [other], { add: 20, field: 'text' });
    expect(after.separatorId).toBe(511);
    expect(after.vocabSize).toBe(532);
    expect(parse(after.json).model.merges.at(-1)).toMatch(/^\S+ \S+$/);
    expect(await after.encode('a<eos>b')).toEqual(await before.encode('a<eos>b'));
    checkExtends(before, after);
  });

  test('what a normalizer makes of the text is what new tokens are learned from', async () => {
    const normalized = TextTokenizer.parse(JSON.stringify({ ...parse(old.json), normalizer: { type: 'NFC' } }));
    const text = 'où l’été naît à Orléans, où l’été naît à Orléans. '.repeat(20);
    const [whole, inParts] = await Promise.all(
      (['NFC', 'NFD'] as const).map(form =>
        continueBpe(normalized, [write(`${form}.txt`, text.normalize(form))], { add: 10, field: 'text' }),
      ),
    );
    expect(text.normalize('NFD')).not.toBe(text.normalize('NFC'));
    expect(inParts!.json).toBe(whole!.json);
    expect(parse(whole!.json)).toMatchObject({ normalizer: { type: 'NFC' } });
  });

  test('what cannot be continued', async () => {
    await expect(continueBpe(old, [other], { add: 5000, field: 'text' })).rejects.toThrow(
      /^the text gives \d+ new tokens that occur twice, not 5000; add fewer, or give more text$/,
    );
    expect(isByteLevel(old.json)).toBe(true);
    const plain = TextTokenizer.parse(JSON.stringify({ ...JSON.parse(old.json), pre_tokenizer: null }));
    expect(isByteLevel(plain.json)).toBe(false);
    await expect(continueBpe(plain, [other], { add: 5, field: 'text' })).rejects.toThrow(UserError);
    await expect(continueBpe(plain, [other], { add: 5, field: 'text' })).rejects.toThrow(
      /is neither a byte-level BPE nor one with byte fallback/,
    );
  });
});

test('a tokenizer that does not extend another is refused by its first difference', async () => {
  const file = parse(old.json);
  const vocab = { ...file.model.vocab, '!': file.model.vocab['"']!, '"': file.model.vocab['!']! };
  const swapped = TextTokenizer.parse(JSON.stringify({ ...file, model: { ...file.model, vocab } }));
  expect(() => checkExtends(old, swapped)).toThrow(
    /'!' of id 34 has id 35 in the new one; ids of old tokens must stay/,
  );
  const small = await trainTokenizer([sample('en')], {
    vocabSize: 400,
    field: 'text',
    out: join(folder, 'small.json'),
  });
  expect(() => checkExtends(old, small)).toThrow(/of id 400 is not in the new one/);
  expect(() => checkExtends(small, old)).not.toThrow();
  expect(existsSync(join(folder, 'small.json'))).toBe(true);
  expect(readFileSync(join(folder, 'old.json'), 'utf8')).toBe(old.json);
});

test('every learned merge is a most frequent pair of what the merges before it left', () => {
  const random = new Random(5, 'words');
  const letters = [...'abcd'];
  const entries = new Map(letters.map((letter, id) => [letter, id]));
  const words: CountedWord[] = Array.from({ length: 60 }, () => ({
    ids: Array.from({ length: 2 + random.integer(9) }, () => random.integer(4)),
    count: 1 + random.integer(5),
  }));
  const { merges, entries: learned } = learnMerges(words, entries, 4, 60);
  expect(learned.map(([, id]) => id)).toEqual(Array.from({ length: 60 }, (_, i) => 4 + i));
  expect(merges.length).toBeGreaterThanOrEqual(60); // some make an entry that is there already
  let current = words.map(({ ids, count }) => ({ symbols: ids.map(id => letters[id]!), count }));
  const made = new Set(letters);
  for (const [left, right] of merges) {
    const counts = new Map<string, number>();
    for (const { symbols, count } of current) {
      for (let i = 1; i < symbols.length; i++) {
        const pair = `${symbols[i - 1]} ${symbols[i]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + count);
      }
    }
    expect(counts.get(`${left} ${right}`)).toBe(Math.max(...counts.values()));
    current = current.map(({ symbols, count }) => {
      const text = ` ${symbols.join(' ')} `;
      // an overlapping second pair, as in 'a a a', is left: from the left, as the format's merges go
      const merged: string[] = [];
      for (let i = 0; i < symbols.length; i++) {
        if (symbols[i] === left && symbols[i + 1] === right) {
          merged.push(left + right);
          i++;
        } else merged.push(symbols[i]!);
      }
      expect(text.replaceAll(' ', '')).toBe(merged.join(''));
      return { symbols: merged, count };
    });
    made.add(left + right);
  }
  expect(made.size).toBe(64);
});
