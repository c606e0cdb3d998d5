import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { DocumentEncoder } from '../../src/data/document-encoder.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { UserError } from '../../src/errors.js';
import { temporaryFolder } from './temporary.js';

const { folder, write } = temporaryFolder();
const words = ['the', 'lighthouse', 'turns', 'constructor', '__proto__', 'Été', 'toString', '灯台', '😀'];
const text = Array.from({ length: 6000 }, (_, i) => words[((i * 7919) % 10007) % words.length]).join(' ');
const sample = write('sample.txt', text);
const train = (vocabSize: number, out: string, files = [sample]) =>
  trainTokenizer(files, { vocabSize, field: 'text', out: join(folder, out) });

interface File {
  added_tokens: { id: number; content: string; special: boolean }[];
  model: { vocab: Record<string, number>; merges: [string, string][] };
  [key: string]: unknown;
}
const parse = (json: string) => JSON.parse(json) as File;

let tokenizer: TextTokenizer;
beforeAll(async () => {
  tokenizer = await train(300, 'tokenizer.json');
});

describe('training', () => {
  test('makes a file of the asked size, the separator first, then the bytes', async () => {
    const { model } = parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8'));
    expect(tokenizer.vocabSize).toBe(300);
    expect(tokenizer.separatorId).toBe(0);
    expect(Object.values(model.vocab).sort((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, i) => i));
    expect(model.vocab['!']).toBe(1 + 33);
    expect(model.merges).toHaveLength(300 - 257);
  });

  test('gives back any text, also bytes that were not in the sample', async () => {
    for (const other of [text, 'Ωμέγα\r\n\t\u0000 {"x": 1}', '🏳️‍🌈  ']) {
      expect(await tokenizer.decode(await tokenizer.encode(other))).toBe(other);
    }
  });

  test('the same text gives the same file', async () => {
    expect((await train(300, 'again.json')).json).toBe(tokenizer.json);
  });

  test('a smaller vocabulary is the beginning of a larger one', async () => {
    const small = parse((await train(280, 'small.json')).json).model;
    const large = parse(tokenizer.json).model;
    expect(small.merges).toEqual(large.merges.slice(0, small.merges.length));
    for (const [entry, id] of Object.entries(small.vocab)) expect(large.vocab[entry]).toBe(id);
  });

  test('words that every object knows become entries like others', async () => {
    const most = Number(/reaches a vocabulary of (\d+)/.exec(await failure(train(20_000, 'x.json')))![1]);
    const full = await train(most, 'full.json');
    const { vocab } = parse(full.json).model;
    for (const word of ['Ġconstructor', 'proto', 'ĠtoString']) expect(Object.keys(vocab)).toContain(word);
    expect(await full.encode(' constructor')).toHaveLength(1);
  });

  test('reads any supported input, up to maxBytes', async () => {
    const lines = write('sample.jsonl', `${JSON.stringify({ text })}\n`);
    expect((await train(300, 'jsonl.json', [lines])).json).toBe(tokenizer.json);
    const onlyA = write('a.jsonl', '{"text": "aaaa aaaa"}\n{"text": "bbbbbbbb bbbbbbbb"}\n');
    const options = { vocabSize: 258, field: 'text', out: join(folder, 'a.json'), maxBytes: 5 };
    expect(parse((await trainTokenizer([onlyA], options)).json).model.merges).toEqual([['a', 'a']]);
  });

  test('what cannot be trained', async () => {
    expect(await failure(train(256, 'x.json'))).toBe('a byte-level vocabulary needs at least 257 entries, not 256');
    expect(await failure(train(300.5, 'x.json'))).toMatch(/not 300\.5$/);
    expect(await failure(train(20_000, 'x.json'))).toMatch(/reaches a vocabulary of \d+ entries, not 20000 .*add text/);
    expect(existsSync(join(folder, 'x.json'))).toBe(false);
  });
});

async function failure(work: Promise<unknown>): Promise<string> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  return (error as UserError).message;
}

describe('pieces of a long text', () => {
  /**
   * The trained file with the pattern of GPT-4, Llama 3 and Qwen, merges over a point and the line end behind it, and
   * the normalizer of Qwen.
   */
  function likeQwen(): TextTokenizer {
    const file = parse(tokenizer.json);
    file.model.vocab['.Ċ'] = 300;
    file.model.vocab['.ĊĊ'] = 301;
    file.model.merges.push(['.', 'Ċ'], ['.Ċ', 'Ċ']);
    const Regex =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    const split = { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false };
    const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
    file.normalizer = { type: 'NFC' };
    file.pre_tokenizer = { type: 'Sequence', pretokenizers: [split, bytes] };
    return TextTokenizer.parse(JSON.stringify(file));
  }

  const long = {
    words: 'the lighthouse   turns, Été\t12 345.\n\n',
    'lines without spaces': 'constructor.\n',
    'paragraphs without spaces': 'constructor.\n\nthe\n',
    'no spaces, CRLF': '灯台constructor.\r\nturns\r\n',
    'characters in parts': 'E\u0301te\u0301 \u1112\u1161\u11ab \u1112\n\u1161\u0301 turns\n',
    'line ends of many kinds': 'a \n \nthe.\n\n\n turns\n  \tturns!\r\n\r\nthe\u0085\n',
  };
  test.each(Object.entries(long))('give the tokens of the whole: %s', async (_, line) => {
    const whole = line.repeat(Math.ceil(420_000 / line.length));
    for (const each of [tokenizer, likeQwen()]) {
      const inPieces: number[] = [];
      let pieces = 0;
      for await (const { ids } of new DocumentEncoder(each).encode({ text: whole, endOfDocument: true })) {
        for (const id of ids) inPieces.push(id);
        pieces++;
      }
      expect(pieces).toBeGreaterThan(2);
      const ids = [...(await each.encode(whole)), each.separatorId];
      // as text: comparing arrays of this length is slow
      expect(inPieces.join(' ') === ids.join(' ')).toBe(true);
    }
  });
});

describe('loading', () => {
  test('takes a normalizer: characters in parts give the tokens of whole ones', async () => {
    const normalized = TextTokenizer.parse(JSON.stringify({ ...parse(tokenizer.json), normalizer: { type: 'NFC' } }));
    expect(await normalized.encode('E\u0301te\u0301')).toEqual(await tokenizer.encode('Été'));
    expect(await tokenizer.encode('E\u0301te\u0301')).not.toEqual(await tokenizer.encode('Été'));
  });

  const variant = (change: (file: File) => void) => {
    const file = parse(tokenizer.json);
    change(file);
    return JSON.stringify(file);
  };
  const renamed = (content: string) =>
    variant(({ added_tokens: [separator], model }) => {
      separator!.content = content;
      model.vocab = { ...model.vocab, [content]: 0 };
      delete model.vocab['<|endoftext|>'];
    });

  test('keeps the text of the file and adds no special tokens', async () => {
    const loaded = TextTokenizer.load(join(folder, 'tokenizer.json'));
    expect(loaded.json).toBe(tokenizer.json);
    expect(await loaded.encode('the turns')).toEqual(await tokenizer.encode('the turns'));
    expect(await loaded.encode('')).toEqual([]);
  });

  test('special tokens that are taken as text leave the ids of others beside the model as they are', async () => {
    const added = [
      { id: 300, content: '<|image|>', special: true },
      { id: 301, content: '<think>', special: false },
      { id: 302, content: '<|user|>', special: true },
      { id: 303, content: '</think>', special: false },
    ];
    const json = variant(file => {
      file.added_tokens.push(...added.map(token => ({ ...file.added_tokens[0]!, ...token })));
    });
    const loaded = TextTokenizer.parse(json);
    const spelled = '<think><|user|><|endoftext|></think>';
    const asText = await loaded.encode(spelled, { specialTokens: 'text' });
    expect([asText[0], asText.at(-1)]).toEqual([301, 303]);
    const middle = await tokenizer.encode('<|user|><|endoftext|>', { specialTokens: 'text' });
    expect(asText.slice(1, -1)).toEqual(middle);
    expect(await loaded.encode(spelled)).toEqual([301, 302, 0, 303]);
  });

  test.each(['</s>', '<|end_of_text|>', '<eos>', '<｜end▁of▁sentence｜>'])('finds the separator %s', name => {
    expect(TextTokenizer.parse(renamed(name)).separatorId).toBe(0);
  });

  test('does not truncate or pad, whatever the file asks for', async () => {
    const json = variant(file => {
      file.truncation = { direction: 'Right', max_length: 4, strategy: 'LongestFirst', stride: 0 };
      file.padding = {
        strategy: { Fixed: 5000 },
        direction: 'Right',
        pad_to_multiple_of: null,
        pad_id: 0,
        pad_type_id: 0,
        pad_token: '<|endoftext|>',
      };
    });
    const few = text.slice(0, 500);
    expect(await TextTokenizer.parse(json).encode(few)).toEqual(await tokenizer.encode(few));
  });

  test('counts ids, not entries', () => {
    const json = variant(file => {
      file.model.vocab.spare = 70_000;
    });
    expect(TextTokenizer.parse(json).vocabSize).toBe(70_001);
  });

  test('what cannot be loaded', () => {
    expect(() => TextTokenizer.load(join(folder, 'gone.json'))).toThrow(
      /there is no tokenizer '.*gone\.json'; make one/,
    );
    const damaged = write('damaged.json', tokenizer.json.slice(0, 1000));
    expect(() => TextTokenizer.load(damaged)).toThrow(UserError);
    expect(() => TextTokenizer.load(damaged)).toThrow(/damaged\.json': .*not a tokenizer\.json: /);
    const without = write('without.json', renamed('<|start|>'));
    expect(() => TextTokenizer.load(without)).toThrow(/without\.json': the tokenizer has none of the tokens that end/);
  });
});
