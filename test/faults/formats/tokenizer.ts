/** Files of a tokenizer: added tokens of both kinds, steps of every part, and merges. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readCompanions, withMarks } from '../../../src/checkpoint/companions.js';
import { isByteLevel, untrainedBpe } from '../../../src/data/bpe-file.js';
import { safeCuts } from '../../../src/data/cuts.js';
import { documentMarks, readDocumentMarks } from '../../../src/data/document-marks.js';
import { TextTokenizer } from '../../../src/data/tokenizer.js';
import {
  idsBeforeText,
  largestNeededId,
  mergesOf,
  parseTokenizerFile,
  replacementsOf,
  withoutSpecialTokens,
  withoutTextPrefix,
} from '../../../src/data/tokenizer-file.js';
import { readText } from '../../../src/input-files.js';
import { writeCheckpoint } from '../../support/checkpoints.js';
import { mutateJson } from '../mutate.js';
import { type Format, text } from './format.js';
import { SMOL } from './model.js';

const own = JSON.parse(untrainedBpe()) as { added_tokens: object[]; model: object } & Record<string, unknown>;
export const TOKENIZER = text({
  ...own,
  added_tokens: [
    ...own.added_tokens,
    { ...own.added_tokens[0], id: 4, content: '<s>' },
    { ...own.added_tokens[0], id: 5, content: 'x y', special: false },
  ],
  normalizer: {
    type: 'Sequence',
    normalizers: [{ type: 'NFC' }, { type: 'Replace', pattern: { String: ' ' }, content: '_' }],
  },
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<s>': { id: '<s>', ids: [4], tokens: ['<s>'] } },
  },
  model: { ...own.model, vocab: { '<|endoftext|>': 0, a: 1, b: 2, ab: 3 }, merges: [['a', 'b']] },
});

function readTokenizer(path: string): void {
  const json = readText(path);
  const file = parseTokenizerFile(json, path);
  documentMarks(file, {});
  largestNeededId(json, [], path);
  mergesOf(file);
  replacementsOf(file);
  idsBeforeText(file);
  isByteLevel(json);
  for (const areText of [true, false]) safeCuts(file, areText)?.('a b', 2);
  withoutSpecialTokens(json);
  withoutTextPrefix(json);
}

export const tokenizers: readonly Format[] = [
  {
    name: 'tokenizer.json',
    file: 'tokenizer.json',
    inputs: 10_000,
    whole: TOKENIZER,
    mutate: mutateJson,
    read: readTokenizer,
  },
  {
    name: 'tokenizer.json, in native code',
    file: 'tokenizer.json',
    inputs: 40,
    whole: TOKENIZER,
    mutate: mutateJson,
    read: path => TextTokenizer.load(path).encode('a ab x y <s> é'),
  },
  {
    name: 'tokenizer_config.json',
    file: 'tokenizer_config.json',
    inputs: 3000,
    whole: text({ eos_token: { content: '<|endoftext|>' }, bos_token: '<s>', add_bos_token: true }),
    mutate: mutateJson,
    prepare: folder => {
      writeCheckpoint(folder, SMOL);
      writeFileSync(join(folder, 'tokenizer.json'), TOKENIZER);
    },
    read: (_, folder) => {
      const path = join(folder, 'tokenizer.json');
      withMarks(readCompanions(folder), readText(path), readDocumentMarks(path));
    },
  },
];
