import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { TokenDataset } from '../../src/data/shards.js';
import { type TokenizeOptions, tokenizeFiles } from '../../src/data/tokenize.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { UserError } from '../../src/errors.js';
import { temporaryFolder } from './temporary.js';

const { folder, write } = temporaryFolder();
const documents = Array.from({ length: 60 }, (_, i) => `document ${i} ${'of words '.repeat((i * 13) % 17)}`);
const files = [
  write(
    'a.jsonl',
    documents
      .slice(0, 40)
      .map(text => `${JSON.stringify({ text })}\n`)
      .join(''),
  ),
  write(
    'b.jsonl',
    documents
      .slice(40)
      .map(text => `${JSON.stringify({ text })}\n`)
      .join(''),
  ),
];

let tokenizer: TextTokenizer;
let count = 0;
const tokenize = async (options: Partial<TokenizeOptions> = {}, inputs = files) => {
  const out = join(folder, `tokens-${count++}`);
  await tokenizeFiles(inputs, { tokenizer, field: 'text', out, ...options });
  return out;
};
/** Both sides of a data set, cut behind every separator. */
const read = (path: string) => {
  const dataset = TokenDataset.open(path);
  const sides = {
    train: dataset.readTrain(0, dataset.trainTokens),
    heldOut: dataset.readHeldOut(0, dataset.heldOutTokens),
  };
  dataset.close();
  return { ...sides, index: dataset.index };
};
const inDocuments = (ids: Uint32Array): string[] =>
  Array.from(ids)
    .join(' ')
    .split(/(?<=(?:^| )0) /);
let expected: string[];
let total: number;

beforeAll(async () => {
  tokenizer = await trainTokenizer(files, { vocabSize: 300, field: 'text', out: join(folder, 'tokenizer.json') });
  const ids = await Promise.all(documents.map(async text => [...(await tokenizer.encode(text)), 0]));
  expected = ids.map(document => document.join(' '));
  total = ids.flat().length;
});

describe('a token data set', () => {
  test('holds every document in order, each with its separator', async () => {
    const { train, heldOut, index } = read(await tokenize({ heldOutTokens: 0 }));
    expect(inDocuments(train)).toEqual(expected);
    expect(heldOut).toHaveLength(0);
    expect(index).toMatchObject({
      dtype: 'u16',
      vocabSize: 300,
      separatorId: 0,
      shards: [{ file: 'train-00000.bin', tokens: total, documents: 60 }],
      heldOut: { file: 'heldout.bin', tokens: 0, documents: 0 },
      text: { bytes: Buffer.byteLength(documents.join('')), documents: 60 },
      sources: [
        { file: files[0], documents: 40 },
        { file: files[1], documents: 20 },
      ],
    });
  });

  test.each([1, 7, 100, 299])('holds out exactly %i tokens, which are in no shard', async heldOutTokens => {
    const { train, heldOut, index } = read(await tokenize({ heldOutTokens, seed: 3 }));
    expect(heldOut).toHaveLength(heldOutTokens);
    expect(train.length + heldOut.length).toBe(total);
    // one document may be divided: its two parts together are it
    const parts = [...inDocuments(heldOut), ...inDocuments(train)];
    const whole = new Set(expected);
    const [left, right, ...none] = parts.filter(part => !whole.has(part));
    expect(none).toEqual([]);
    if (left) expect(expected).toContain(`${left} ${right}`);
    const joined = left ? [...parts.filter(part => whole.has(part)), `${left} ${right}`] : parts;
    expect(joined.sort()).toEqual([...expected].sort());
    expect(index.heldOut.documents + index.shards[0]!.documents).toBe(60 + (left ? 1 : 0));
  });

  test('the seed decides what is held out, and the same seed gives the same bytes', async () => {
    const [one, two, other] = await Promise.all([1, 1, 2].map(seed => tokenize({ heldOutTokens: 100, seed })));
    for (const file of readdirSync(one!)) {
      expect(readFileSync(join(one!, file)).equals(readFileSync(join(two!, file))), file).toBe(true);
    }
    expect(read(one!).heldOut).not.toEqual(read(other!).heldOut);
  });

  test('by default a twentieth is held out', async () => {
    expect(read(await tokenize()).heldOut).toHaveLength(Math.floor(total / 20));
  });

  test('shards have equal lengths, and are read across', async () => {
    const whole = read(await tokenize({ heldOutTokens: 50 })).train;
    const path = await tokenize({ heldOutTokens: 50, shardTokens: 64 });
    const dataset = TokenDataset.open(path);
    expect(dataset.index.shards.slice(0, -1).every(({ tokens }) => tokens === 64)).toBe(true);
    expect(dataset.index.shards).toHaveLength(Math.ceil(whole.length / 64));
    const counted = dataset.index.shards.reduce((sum, shard) => sum + shard.documents, 0);
    expect(counted + dataset.index.heldOut.documents).toBeLessThanOrEqual(61);
    expect(dataset.readTrain(0, whole.length)).toEqual(whole);
    expect(dataset.readTrain(60, 200)).toEqual(whole.slice(60, 260));
    expect(dataset.readTrain(64, 64)).toEqual(whole.slice(64, 128));
    expect(() => dataset.readTrain(whole.length - 1, 2)).toThrow(/were asked for, there are/);
    expect(() => dataset.readHeldOut(-1, 1)).toThrow(/were asked for, there are/);
    dataset.close();
  });

  test('ids of a large vocabulary take four bytes', async () => {
    const file = JSON.parse(tokenizer.json) as { model: { vocab: Record<string, number> }; added_tokens: object[] };
    file.model.vocab['<large>'] = 70_000;
    file.added_tokens.push({ ...file.added_tokens[0], id: 70_000, content: '<large>', special: false });
    const large = TextTokenizer.parse(JSON.stringify(file));
    const input = write('large.txt', 'of<large>words');
    const { train, index } = read(await tokenize({ tokenizer: large, heldOutTokens: 0 }, [input]));
    expect(index.dtype).toBe('u32');
    expect(Array.from(train)).toContain(70_000);
  });

  test('says whether a special token that has no row of a model is in its text', async () => {
    const file = JSON.parse(tokenizer.json) as { added_tokens: object[] };
    file.added_tokens.push({ ...file.added_tokens[0], id: 300, content: '<image>', special: true });
    const pictured = TextTokenizer.parse(JSON.stringify(file));
    const input = write('pictured.txt', 'of words <image> of words');
    const options = { tokenizer: pictured, heldOutTokens: 1, specialTokens: 'tokens' } as const;
    using spelled = TokenDataset.open(await tokenize(options, [input]));
    expect([spelled.rowsBeyond(299), spelled.rowsBeyond(300)]).toEqual([300, undefined]);
    expect(() => spelled.checkSpecialTokens(301)).not.toThrow();
    expect(() => spelled.checkSpecialTokens(300)).toThrow(
      new UserError(
        `'${spelled.folder}' has the special token "<image>" (id 300) in its text, for which the model's 300 rows have ` +
          'none; tokenize with --special-tokens text',
      ),
    );
    using asText = TokenDataset.open(await tokenize({ ...options, specialTokens: 'text' }, [input]));
    using without = TokenDataset.open(await tokenize(options));
    for (const dataset of [asText, without]) expect(() => dataset.checkSpecialTokens(300)).not.toThrow();
  });

  test('a document longer than any buffer', async () => {
    const text = Array.from({ length: 120_000 }, (_, i) => `${i % 977}`).join(' ');
    const { train, heldOut } = read(await tokenize({ heldOutTokens: 1000 }, [write('long.txt', text)]));
    // one document only: its beginning is held out
    expect([...heldOut, ...train]).toEqual([...(await tokenizer.encode(text)), 0]);
  });

  test('progress counts the bytes of the files', async () => {
    let last = { bytes: 0, tokens: 0 };
    await tokenize({
      onProgress: progress => {
        last = progress;
      },
    });
    expect(last).toMatchObject({
      bytes: files.reduce((sum, file) => sum + readFileSync(file).length, 0),
      tokens: total,
    });
  });
});

describe('what cannot be tokenized', () => {
  const failure = async (options: Partial<TokenizeOptions>, inputs = files) => {
    const out = join(folder, 'failed');
    const error = await tokenizeFiles(inputs, { tokenizer, field: 'text', out, ...options }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(readdirSync(folder).filter(name => name.startsWith('failed'))).toEqual([]);
    return (error as UserError).message;
  };

  test('more held out than there is, or all of it', async () => {
    for (const wanted of [total, total + 1]) {
      expect(await failure({ heldOutTokens: wanted })).toBe(
        `${wanted} tokens were to be held out, but the text has ${total} in all; hold out fewer or add text`,
      );
    }
    expect(await failure({ heldOutTokens: -1 })).toMatch(
      /held-out tokens must be a whole number of at least 0, not -1/,
    );
    expect(await failure({ shardTokens: 0 })).toMatch(/tokens of a shard must be a whole number of at least 1, not 0/);
  });

  test('a damaged input leaves nothing behind', async () => {
    const bad = write('bad.jsonl', '{"text": "fine"}\nnot fine\n');
    expect(await failure({}, [files[0]!, bad])).toMatch(/bad\.jsonl' line 2 is not JSON/);
  });

  test('a folder that exists is left as it is', async () => {
    const out = await tokenize();
    const before = readFileSync(join(out, 'index.json'), 'utf8');
    await expect(tokenizeFiles(files, { tokenizer, field: 'text', out, heldOutTokens: 0 })).rejects.toThrow(
      `'${out}' exists already; choose another folder or remove it`,
    );
    expect(readFileSync(join(out, 'index.json'), 'utf8')).toBe(before);
  });
});

describe('what cannot be opened', () => {
  const openDescriptors = () => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0);
  const failureAfter = async (change: (path: string) => void) => {
    const path = join(folder, `changed-${count++}`);
    cpSync(await tokenize({ heldOutTokens: 50, shardTokens: 200 }), path, { recursive: true });
    change(path);
    const before = openDescriptors();
    let error: unknown;
    try {
      TokenDataset.open(path);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(UserError);
    expect(openDescriptors()).toBe(before);
    return (error as UserError).message;
  };
  const editIndex = (path: string, edit: (index: Record<string, unknown>) => void) => {
    const index = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')) as Record<string, unknown>;
    edit(index);
    writeFileSync(join(path, 'index.json'), JSON.stringify(index));
  };

  test('a folder that is no data set', async () => {
    expect(() => TokenDataset.open(folder)).toThrow(/is no token data set \(it has no index\.json\); make one/);
  });

  test('a cut-off or missing file', async () => {
    expect(await failureAfter(path => truncateSync(join(path, 'train-00001.bin'), 37))).toMatch(
      /train-00001\.bin' has 37 bytes, index\.json says 400; it is cut off/,
    );
    expect(await failureAfter(path => truncateSync(join(path, 'heldout.bin'), 2))).toMatch(
      /heldout\.bin' has 2 bytes, index\.json says 100;/,
    );
    expect(await failureAfter(path => rmSync(join(path, 'train-00000.bin')))).toMatch(
      /train-00000\.bin', which index\.json names/,
    );
  });

  test('a damaged index, or one of another version', async () => {
    expect(await failureAfter(path => writeFileSync(join(path, 'index.json'), '{"format":'))).toMatch(/is not JSON: /);
    expect(await failureAfter(path => editIndex(path, index => delete index.vocabSize))).toMatch(/: vocabSize: /);
    expect(
      await failureAfter(path =>
        editIndex(path, index => {
          index.format = 'babelgrad tokens 99';
        }),
      ),
    ).toMatch(/: format: .*babelgrad tokens 1/);
  });

  test('an index that names a file outside', async () => {
    for (const file of ['../outside.bin', '/etc/passwd', '..']) {
      for (const edit of [
        (index: Record<string, unknown>) => Object.assign((index.shards as object[])[1]!, { file }),
        (index: Record<string, unknown>) => Object.assign(index.heldOut as object, { file }),
      ]) {
        expect(await failureAfter(path => editIndex(path, edit))).toMatch(
          /: (shards\.1|heldOut)\.file: must be the name of a file beside index\.json/,
        );
      }
    }
  });

  test('another tokenizer', async () => {
    const path = (folderPath: string) => join(folderPath, 'tokenizer.json');
    expect(await failureAfter(changed => writeFileSync(path(changed), `${tokenizer.json} `))).toMatch(
      /tokenizer\.json' is not the tokenizer that made the ids/,
    );
    expect(await failureAfter(changed => rmSync(path(changed)))).toMatch(/tokenizer\.json', which made the ids/);
  });
});
