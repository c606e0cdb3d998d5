import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodeScoredText, heldOutText, readHeldOutText } from '../../src/data/scored-text.js';
import { TokenDataset } from '../../src/data/shards.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { UserError } from '../../src/errors.js';
import { temporaryFolder } from './temporary.js';

const { folder, write } = temporaryFolder();
const documents = ['Un été à Noël.', 'Зима пришла рано.', '冬天来得早。', 'plain words '.repeat(9)];
const file = write('texts.jsonl', documents.map(text => `${JSON.stringify({ text })}\n`).join(''));

test('every token of a text is predicted, and all its bytes count', async () => {
  const tokenizer = await trainTokenizer([file], { vocabSize: 270, field: 'text', out: join(folder, 'a.json') });
  const { separatorId } = tokenizer;
  const { ids, bytes, markIds } = await encodeScoredText([file], 'text', tokenizer);
  const expected = [separatorId];
  for (const text of documents) expected.push(...(await tokenizer.encode(text)), separatorId);
  expect([...markIds]).toEqual([separatorId]);
  expect([...ids]).toEqual(expected);
  expect(bytes).toBe(Buffer.byteLength(documents.join('')));
});

test('of a held-out split the bytes of all tokens but the first', async () => {
  // with 257 entries a token is a byte or the separator
  const tokenizer = await trainTokenizer([file], { vocabSize: 257, field: 'text', out: join(folder, 'b.json') });
  const out = join(folder, 'tokens');
  const heldOutTokens = Buffer.byteLength(documents.join('')) + documents.length - 1;
  await tokenizeFiles([file], { tokenizer, field: 'text', out, heldOutTokens });
  const { ids, bytes, markIds } = await readHeldOutText(out, {
    folder: join(folder, 'no tokenizer'),
    vocabSize: 257,
  });
  expect(ids).toHaveLength(heldOutTokens);
  expect(ids.filter(id => markIds.has(id))).toHaveLength(documents.length - 1);
  expect(bytes).toBe(Buffer.byteLength(documents.join('')) - 1);
  const dataset = TokenDataset.open(out);
  const part = await heldOutText(dataset, 6);
  dataset.close();
  expect(part.ids).toEqual(ids.slice(0, 6));
  expect(part.bytes).toBe(Buffer.byteLength('n ét')); // of 'Un ét' the first is not predicted
  await expect(readHeldOutText(out, { folder, vocabSize: 256 })).rejects.toThrow(
    'has a vocabulary of 257, larger than the model',
  );
});

test('a held-out split is not for a model with another tokenizer, of as many entries as it may have', async () => {
  const [own, other] = [join(folder, 'own'), join(folder, 'other')];
  for (const [model, vocabSize] of [
    [own, 262],
    [other, 261],
  ] as const) {
    await trainTokenizer([file], { vocabSize, field: 'text', out: join(model, 'tokenizer.json') });
  }
  const out = join(folder, 'for-own');
  const tokenizer = TextTokenizer.load(join(own, 'tokenizer.json'));
  await tokenizeFiles([file], { tokenizer, field: 'text', out, heldOutTokens: 20 });
  expect((await readHeldOutText(out, { folder: own, vocabSize: 300 })).ids).toHaveLength(20);
  const refused = readHeldOutText(out, { folder: other, vocabSize: 300 });
  await expect(refused).rejects.toThrow(
    /for-own': the data was made with another tokenizer than the checkpoint's; run 'tokenize' with '.*other.tokenizer.json'/,
  );
  await expect(refused).rejects.toBeInstanceOf(UserError);
});
