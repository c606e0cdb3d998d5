/** Spans of documents that are trained: from .jsonl to the weights of a batch. */
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { BadRows } from '../../src/data/bad-rows.js';
import { Mixture } from '../../src/data/mixture.js';
import { TokenDataset } from '../../src/data/shards.js';
import { charactersOf, type TextSpan } from '../../src/data/spans.js';
import { type TokenizeOptions, tokenizeFiles } from '../../src/data/tokenize.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { temporaryFolder } from './temporary.js';

const { folder, write } = temporaryFolder();
const jsonl = (rows: readonly object[]) => rows.map(row => `${JSON.stringify(row)}\n`).join('');
let tokenizer: TextTokenizer;
let count = 0;

beforeAll(async () => {
  const text = write('text.txt', 'question and answer, 日本 déjà vu 😀 and so on, '.repeat(40));
  tokenizer = await trainTokenizer([text], { vocabSize: 290, out: join(folder, 'tokenizer.json') });
});

async function tokenize(rows: readonly object[], options: Partial<TokenizeOptions> = {}) {
  const input = write(`rows-${count}.jsonl`, jsonl(rows));
  const out = join(folder, `tokens-${count++}`);
  await tokenizeFiles([input], { tokenizer, out, spansField: 'train', heldOutTokens: 0, ...options });
  return TokenDataset.open(out);
}

/** The text that the trained ids spell, with the separator as '|', and bytes that are no character as '�'. */
async function trainedText(dataset: TokenDataset): Promise<string> {
  const ids = dataset.readTrain(0, dataset.trainTokens);
  const weights = dataset.readWeights(0, dataset.trainTokens);
  let text = '';
  for (const [i, id] of ids.entries()) {
    if (weights[i] === 1) text += id === dataset.index.separatorId ? '|' : await tokenizer.decode([id]);
  }
  return text;
}

describe('spans', () => {
  test.each<[string, string, TextSpan[], string]>([
    ['the end, with what ends the document', 'aXb cde', [[4, 7]], 'cde|'],
    ['the beginning', 'aXb cde', [[0, 3]], 'aXb'],
    [
      'several',
      'QXZ WVU',
      [
        [0, 1],
        [5, 7],
      ],
      'QVU|',
    ], // prettier-ignore
    ['nothing', 'QXZ', [], ''],
    ['an empty one', 'QXZ', [[1, 1]], ''],
    ['characters of several units and bytes, counted as Python does', '😀Z😀QX', [[2, 4]], '���Q'],
  ])('%s', async (_, text, train, expected) => {
    // a second document that is trained keeps the data from having nothing to train
    const dataset = await tokenize([
      { text, train },
      { text: 'W', train: [[0, 1]] },
    ]);
    expect(await trainedText(dataset)).toBe(`${expected}W|`);
    dataset.close();
  });

  test('a token is trained where one of its characters is', async () => {
    const [first] = await tokenizer.encode('question');
    const token = await tokenizer.decode([first!]);
    expect(charactersOf(token)).toBeGreaterThan(1);
    const dataset = await tokenize([{ text: 'question X', train: [[charactersOf(token) - 1, charactersOf(token)]] }]);
    expect(await trainedText(dataset)).toBe(token);
    dataset.close();
  });

  test('of a document that is encoded in pieces, and with a vocabulary that needs four bytes with a flag', async () => {
    const words = Array.from({ length: 9000 }, (_, i) => (i % 7 === 0 ? '😀Q' : `w${i}`));
    const text = words.join(' ');
    const from = charactersOf(words.slice(0, 8000).join(' ')) + 1;
    const file = JSON.parse(tokenizer.json) as { model: { vocab: Record<string, number> } };
    file.model.vocab['<large>'] = 40_000;
    for (const used of [tokenizer, TextTokenizer.parse(JSON.stringify(file))]) {
      const dataset = await tokenize([{ text, train: [[from, charactersOf(text)]] }], { tokenizer: used });
      expect(dataset.index.dtype).toBe(used === tokenizer ? 'u16' : 'u32');
      const ids = dataset.readTrain(0, dataset.trainTokens);
      expect([...ids]).toEqual([...(await tokenizer.encode(text)), 0]);
      const weights = dataset.readWeights(0, dataset.trainTokens);
      const tail = await tokenizer.encode(` ${words.slice(8000).join(' ')}`);
      const isApart = (await tokenizer.decode(tail.slice(0, 1))) === ' '; // a blank before the first word
      expect(weights.indexOf(1)).toBe(ids.length - 1 - tail.length + (isApart ? 1 : 0));
      expect(weights.lastIndexOf(0)).toBe(weights.indexOf(1) - 1);
      expect(dataset.index.trainedTokens).toBe(weights.filter(weight => weight === 1).length);
      dataset.close();
    }
  });

  test('what is held out has its ids without flags', async () => {
    const rows = Array.from({ length: 20 }, (_, i) => ({ text: `W${i} Q`, train: [[0, 1]] }));
    const [flagged, plain] = [
      await tokenize(rows, { heldOutTokens: 30 }),
      await tokenize(rows, { heldOutTokens: 30, spansField: undefined }),
    ]; // prettier-ignore
    expect(flagged.readHeldOut(0, 30)).toEqual(plain.readHeldOut(0, 30));
    expect([flagged.hasWeights, plain.hasWeights]).toEqual([true, false]);
    expect(plain.index.format).toBe('babelgrad tokens 1');
    expect(flagged.index.format).toBe('babelgrad tokens 2');
    flagged.close();
    plain.close();
  });
});

test('a mixture gives weights with its sequences, which are 1 for a source without', async () => {
  const rows = Array.from({ length: 20 }, (_, i) => ({ text: `W${i} Q`, train: [[0, 1]] }));
  const flagged = { name: 'flagged', weight: 1, tokens: await tokenize(rows) };
  const plain = { name: 'plain', weight: 1, tokens: await tokenize(rows, { spansField: undefined }) };
  const options = { seed: 1, contextLength: 8 };
  const { sequences, weights } = new Mixture([flagged, plain], options).nextBatch(6);
  expect(new Mixture([flagged, plain], options).next(6)).toEqual(sequences);
  const ids = flagged.tokens.readTrain(0, flagged.tokens.trainTokens).join();
  const all = flagged.tokens.readWeights(0, flagged.tokens.trainTokens);
  for (let n = 0; n < 6; n += 2) {
    const sequence = sequences.subarray(n * 9, (n + 1) * 9);
    const at = ids.slice(0, ids.indexOf(sequence.join())).split(',').length - 1;
    expect(weights!.subarray(n * 8, (n + 1) * 8)).toEqual(all.slice(at + 1, at + 9));
    expect([...weights!.subarray((n + 1) * 8, (n + 2) * 8)]).toEqual(Array(8).fill(1));
  }
  expect(new Mixture([plain], options).nextBatch(1).weights).toBeUndefined();
  flagged.tokens.close();
  plain.tokens.close();
});

describe('what is refused', () => {
  test.each<[unknown, RegExp]>([
    [undefined, /line 1 has no spans in its field .train. \(missing\): it must be a list of \[start, end\]/],
    [true, /field .train. \(true\): it must be a list/],
    [[[0, 1], [2]], /span 2 is \[2\], and not \[start, end\]/],
    [[[1, 0]], /span 1 is \[1,0\]/],
    [[[0, 0.5]], /span 1 is \[0,0\.5\]/],
    [[[-1, 1]], /span 1 is \[-1,1\]/],
    [[[0, 4]], /span 1 ends at 4, and the text has 3 characters/],
  ])('%j', async (train, why) => {
    await expect(tokenize([{ text: '😀bc', train }])).rejects.toThrow(why);
  });

  test('a bad row is left out and counted where that is asked for', async () => {
    const rows = new BadRows('skip');
    const dataset = await tokenize([{ text: 'QX' }, { text: 'W', train: [[0, 1]] }], { rows });
    expect(await trainedText(dataset)).toBe('W|');
    expect(rows.counts.badRows.count).toBe(1);
    dataset.close();
  });

  test('data in which nothing is trained, and files that have no spans', async () => {
    await expect(tokenize([{ text: 'abc', train: [] }])).rejects.toThrow(/no token is in a span of the field 'train'/);
    const out = join(folder, 'none');
    const options = { tokenizer, out, spansField: 'train' };
    await expect(tokenizeFiles([write('a.txt', 'abc')], options)).rejects.toThrow(/a\.txt' has no spans: only \.jsonl/);
  });
});
