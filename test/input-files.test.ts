/** Files that others made: what is no regular file is refused at once by every reader, and JSON has bounds. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readAudit } from '../src/audit/report.js';
import { readModelConfig } from '../src/checkpoint/hf-config.js';
import { SafetensorsFile } from '../src/checkpoint/safetensors.js';
import { readTrainingState } from '../src/checkpoint/training-record.js';
import { WeightFiles } from '../src/checkpoint/weight-files.js';
import { TokenDataset } from '../src/data/shards.js';
import { TextTokenizer } from '../src/data/tokenizer.js';
import { UserError } from '../src/errors.js';
import { parseJson, readBytes, readJson, readText } from '../src/input-files.js';
import { readRun } from '../src/report/runs.js';
import { readRunConfig } from '../src/run/folder.js';
import { readYaml } from '../src/run/yaml.js';
import { readPlan } from '../src/study/state.js';
import { isOpFile, readOp } from '../src/train/recorded-op.js';
import { documentsOf, temporaryFolder } from './data/temporary.js';

const { folder, write } = temporaryFolder();

/** Every reader of a file, by the file's name; a reader of a folder gets the folder of that file. */
const READERS: readonly (readonly [name: string, read: (path: string, folder: string) => unknown])[] = [
  ['a.bin', readBytes],
  ['model.safetensors', SafetensorsFile.open],
  ['model.safetensors', (_, folder) => WeightFiles.open(folder)],
  ['model.safetensors.index.json', (_, folder) => WeightFiles.open(folder)],
  ['config.json', (_, folder) => readModelConfig(folder)],
  ['config.json', (_, folder) => readRunConfig(folder)],
  ['config.json', (_, folder) => readRun(folder)],
  ['training.json', (_, folder) => readTrainingState(folder)],
  ['tokenizer.json', path => TextTokenizer.load(path)],
  ['index.json', (_, folder) => TokenDataset.open(folder)],
  ['study.json', (_, folder) => readPlan(folder)],
  ['run.yaml', readYaml],
  ['audit.json', readAudit],
  ['kept.op', isOpFile],
  ['kept.op', readOp],
  ['a.txt', path => documentsOf(path)],
  ['a.jsonl.gz', path => documentsOf(path)],
  ['a.parquet', path => documentsOf(path)],
];

describe('in the place of a file', () => {
  test.each(READERS.map(([name, read], i) => ({ name, read, i })))('$name, reader $i: a pipe, a folder', async one => {
    const kinds = [
      ['pipe', (path: string) => execFileSync('mkfifo', [path])],
      ['folder', (path: string) => mkdirSync(path)],
    ] as const;
    for (const [kind, make] of kinds) {
      const place = join(folder, `${one.i}-${kind}`);
      mkdirSync(place);
      const path = join(place, one.name);
      make(path);
      const attempt = (async () => one.read(path, place))();
      await expect(attempt).rejects.toThrow(`'${path}' is a ${kind}, and not a regular file`);
      await expect(attempt).rejects.toBeInstanceOf(UserError);
    }
  });

  test('a device', () => {
    expect(() => readText('/dev/zero')).toThrow("'/dev/zero' is a device, and not a regular file");
  });

  test('nothing, or what is no folder above it', () => {
    expect(() => readText(join(folder, 'none'))).toThrow(/^there is no file '.*none'$/);
    expect(() => readText(join(write('file', ''), 'none'), 'nothing there')).toThrow(/^nothing there$/);
  });
});

describe('JSON', () => {
  test('that is nested too deeply is refused; brackets in strings are not nesting', () => {
    const nested = (depth: number) => `${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)}`;
    expect(parseJson(nested(200))).toEqual(JSON.parse(nested(200)));
    for (const depth of [202, 2e6]) {
      const path = write('deep.json', nested(depth));
      expect(() => readJson(path)).toThrow(/^'.*deep.json' is not JSON: it is nested more than 200 deep$/);
    }
    const text = JSON.stringify({ a: '[{\\"'.repeat(1000), b: '\\', c: ['[', { d: '\\"[' }] });
    expect(parseJson(text)).toEqual(JSON.parse(text));
  });

  test('longer than a string can be is refused unread', () => {
    const path = write('long.json', '{}');
    truncateSync(path, 2 ** 29);
    expect(() => readJson(path)).toThrow(
      /^'.*long.json' has 536870912 bytes; such a file is read at once, and has at most 536870888$/,
    );
  });

  test('of a key that comes twice has the last value; __proto__ is a key', () => {
    expect(parseJson('{"a": 1, "a": 2}')).toEqual({ a: 2 });
    expect(Object.keys(parseJson('{"__proto__": {"b": 1}}') as object)).toEqual(['__proto__']);
  });

  test('that is none is told of in one line', () => {
    const path = write('broken.json', '{\n"a": 1,\n\n}\n');
    expect(() => readJson(path)).toThrow(/^'.*broken.json' is not JSON: [^\n]+$/);
  });
});
