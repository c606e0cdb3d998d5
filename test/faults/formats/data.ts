/** Texts, questions, and a data set of tokens. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { CHECKSUMS, damageOf, showChecksums, verifyFolder } from '../../../src/checksums.js';
import { readDocuments } from '../../../src/data/documents.js';
import { readParquetRows } from '../../../src/data/parquet.js';
import { INDEX_FORMAT, TokenDataset } from '../../../src/data/shards.js';
import { UserError } from '../../../src/errors.js';
import { sha256 } from '../../../src/hash.js';
import { readTask } from '../../../src/tasks/task.js';
import { type Mutate, mutateBytes, mutateJson, mutateLines } from '../mutate.js';
import { type Format, lines, text } from './format.js';
import { TOKENIZER } from './tokenizer.js';

async function all(documents: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of documents);
}

const ids = Buffer.from(Uint16Array.from({ length: 200 }, (_, i) => i % 4).buffer);
const INDEX = {
  format: INDEX_FORMAT,
  dtype: 'u16',
  vocabSize: 6,
  separatorId: 0,
  startIds: [4],
  specialTokens: { as: 'text', spelled: 0 },
  tokenizer: sha256(TOKENIZER),
  shards: [
    { file: 'train-00000.bin', tokens: 200, documents: 20 },
    { file: 'train-00001.bin', tokens: 200, documents: 20 },
  ],
  heldOut: { file: 'heldout.bin', tokens: 200, documents: 20 },
  text: { bytes: 900, documents: 60 },
  sources: [{ file: 'en.txt', documents: 60 }],
};

function writeTokens(folder: string): void {
  writeFileSync(join(folder, 'index.json'), JSON.stringify(INDEX));
  writeFileSync(join(folder, 'tokenizer.json'), TOKENIZER);
  for (const file of ['train-00000.bin', 'train-00001.bin', 'heldout.bin']) writeFileSync(join(folder, file), ids);
}

function readTokens(_: string, folder: string): void {
  const dataset = TokenDataset.open(folder);
  try {
    dataset.readTrain(0, Math.min(1000, dataset.trainTokens));
    dataset.readHeldOut(0, Math.min(1000, dataset.heldOutTokens));
  } finally {
    dataset.close();
  }
}

const DOCUMENTS = lines([{ text: 'Ab cé 漢字.', id: 1 }, { text: '' }, { text: '\u0000"\\', more: { a: [1, null] } }]);
const CHOICES = lines([
  { context: 'a', choices: ['b', 'c'], answer: 1 },
  { context: '', choices: ['b', 'c', 'd'], answer: '0' },
]);
const PARQUET = Buffer.from(
  parquetWriteBuffer({
    columnData: [{ name: 'text', data: ['one', 'two', 'one', 'é'], type: 'STRING' }],
    rowGroupSize: 2,
  }),
);
const documents = (name: string, file: string, whole: Buffer, mutate: Mutate, inputs: number): Format => ({
  name,
  file,
  inputs,
  whole,
  mutate,
  read: path => all(readDocuments(path)),
});

const CHECKED = ['config.json', 'model.safetensors', 'odd name'];
const contentOf = (file: string): string => `the content of ${file}`;
/** Verifies a folder. Nothing but the content that was summed passes, whatever the sums say. */
async function verifySums(_: string, folder: string): Promise<void> {
  for (const { file, state } of (await verifyFolder(folder)) ?? []) {
    if (state === 'good' && !CHECKED.includes(file)) throw new Error(`${file} passes`);
  }
  const damage = await damageOf(folder);
  if (damage !== undefined) throw new UserError(damage);
}

export const data: readonly Format[] = [
  {
    name: 'SHA256SUMS',
    file: CHECKSUMS,
    inputs: 2000,
    whole: Buffer.from(showChecksums(new Map(CHECKED.map(file => [file, sha256(contentOf(file))])))),
    mutate: mutateBytes,
    prepare: folder => {
      for (const file of CHECKED) writeFileSync(join(folder, file), contentOf(file));
    },
    read: verifySums,
  },
  {
    name: 'the index of tokens',
    file: 'index.json',
    inputs: 6000,
    whole: text(INDEX),
    mutate: mutateJson,
    prepare: writeTokens,
    read: readTokens,
  },
  {
    name: 'a shard of tokens',
    file: 'train-00001.bin',
    inputs: 2000,
    whole: ids,
    mutate: mutateBytes,
    prepare: writeTokens,
    read: readTokens,
  },
  documents('lines of JSON', 'a.jsonl', DOCUMENTS, mutateLines, 6000),
  documents('lines of JSON, gzip', 'a.jsonl.gz', gzipSync(DOCUMENTS), mutateBytes, 2500),
  documents(
    'lines of JSON, Zstandard',
    'a.jsonl.zst',
    readFileSync('test/fixtures/data/two-documents.jsonl.zst'),
    mutateBytes,
    2500,
  ),
  documents('text', 'a.txt', Buffer.from('Ab cé 漢字.\n'.repeat(20)), mutateBytes, 1500),
  {
    name: 'questions',
    file: 'a.jsonl',
    inputs: 3000,
    whole: CHOICES,
    mutate: mutateLines,
    read: path => readTask('multiple_choice', [path]),
  },
  {
    name: 'Parquet',
    file: 'a.parquet',
    inputs: 60,
    whole: PARQUET,
    mutate: mutateBytes,
    read: path => all(readParquetRows(path, 'text', undefined, 3)),
  },
];
