import { mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findInputFiles, globOf, sizeOfFiles } from '../../src/data/inputs.js';
import { UserError } from '../../src/errors.js';
import { pretendPlatform } from '../support/platform.js';
import { temporaryFolder } from './temporary.js';

const { folder, write } = temporaryFolder();
mkdirSync(join(folder, 'deep', 'er'), { recursive: true });
mkdirSync(join(folder, 'none'));
mkdirSync(join(folder, 'odd [name]'));
const b = write('b.txt', 'bb');
const a = write('a.jsonl.gz', 'a');
const deep = write('deep/er/c.parquet', 'ccc');
const odd = write('odd [name]/d[1].txt.zst', 'd');
write('none/README.md', 'x');
const other = write('picture.png', 'x');

describe('input files', () => {
  test('files, folders and globs are expanded, sorted, each once', () => {
    expect(findInputFiles([folder])).toEqual([a, b, deep, odd].sort());
    expect(findInputFiles([b, a])).toEqual([a, b]);
    expect(findInputFiles([join(folder, '**/*.{txt,parquet}')])).toEqual([b, deep]);
    expect(findInputFiles([odd, join(folder, 'odd [name]')])).toEqual([odd]);
    expect(findInputFiles([relative('.', b), b, folder])).toHaveLength(4);
    expect(sizeOfFiles([b, deep])).toBe(5);
  });

  test("on Windows a glob's backslashes part folders", () => {
    pretendPlatform('linux');
    expect(globOf('a\\*.txt')).toBe('a\\*.txt');
    pretendPlatform('win32');
    expect(globOf('C:\\data\\*.txt')).toBe('C:/data/*.txt');
  });

  test.each([
    [[], /no input files/],
    [[join(folder, 'missing.txt')], /there is no file or folder '.*missing\.txt'/],
    [[other], /'.*picture\.png' is not a kind of file that can be read: \.txt/],
    [[join(folder, 'none')], /the folder '.*none' holds no \.txt/],
    [[join(folder, '*.md')], /nothing that can be read matches '.*\*\.md'/],
  ])('%j cannot be read', (names, message) => {
    expect(() => findInputFiles(names)).toThrow(UserError);
    expect(() => findInputFiles(names)).toThrow(message);
  });
});
