/** Files are moved and flushed as Windows takes it, which refuses what another program has open for a moment. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { movePath, syncFolder, syncTree } from '../src/durable.js';
import { checkFilePlace, writeFileWhole } from '../src/files.js';
import { pretendPlatform } from './support/platform.js';

vi.mock('node:fs', async importOriginal => {
  const actual = await importOriginal<typeof fs>();
  return {
    ...actual,
    openSync: vi.fn(actual.openSync),
    renameSync: vi.fn(actual.renameSync),
    existsSync: vi.fn(actual.existsSync),
  };
});
const openSync = vi.mocked(fs.openSync);
const renameSync = vi.mocked(fs.renameSync);
const existsSync = vi.mocked(fs.existsSync);
const root = fs.mkdtempSync(join(tmpdir(), 'babelgrad-durable-'));
afterAll(() => fs.rmSync(root, { recursive: true }));
beforeEach(() => void vi.clearAllMocks());

/** Lets the next moves fail, as while a program looks for viruses in the file. */
function refuseMoves(times: number, code: string): void {
  for (let i = 0; i < times; i++) {
    renameSync.mockImplementationOnce(() => {
      throw Object.assign(new Error(`${code}: rename`), { code });
    });
  }
}

describe('a move that is refused', () => {
  const [from, to] = [join(root, 'from'), join(root, 'to')];

  test.each(['EPERM', 'EACCES', 'EBUSY'])('with %s is tried again on Windows', code => {
    pretendPlatform('win32');
    fs.writeFileSync(from, code);
    fs.writeFileSync(to, 'old');
    refuseMoves(3, code);
    movePath(from, to);
    expect(fs.readFileSync(to, 'utf8')).toBe(code);
    expect(renameSync).toHaveBeenCalledTimes(4);
  });

  test('again and again, or for another reason, is an error', () => {
    pretendPlatform('win32');
    refuseMoves(1, 'ENOENT');
    expect(() => movePath(from, to)).toThrow('ENOENT');
    expect(renameSync).toHaveBeenCalledTimes(1);
    refuseMoves(11, 'EPERM');
    expect(() => movePath(from, to)).toThrow('EPERM');
    expect(renameSync).toHaveBeenCalledTimes(12);
  });

  test('elsewhere is an error at once', () => {
    pretendPlatform('linux');
    refuseMoves(1, 'EPERM');
    expect(() => movePath(from, to)).toThrow('EPERM');
    expect(renameSync).toHaveBeenCalledTimes(1);
  });
});

test('on Windows files are opened for writing to be flushed, and folders are not flushed', () => {
  pretendPlatform('win32');
  const folder = join(root, 'tree');
  fs.mkdirSync(join(folder, 'in'), { recursive: true });
  for (const name of ['a', 'in/b']) fs.writeFileSync(join(folder, name), '');
  openSync.mockClear();
  syncTree(folder);
  expect(openSync.mock.calls).toEqual([
    [join(folder, 'a'), 'r+'],
    [join(folder, 'in', 'b'), 'r+'],
  ]);
  openSync.mockClear();
  syncFolder(folder);
  expect(openSync).not.toHaveBeenCalled();
});

test('a folder whose name has a backslash is flushed where that is a letter', () => {
  pretendPlatform('linux');
  writeFileWhole(join(root, 'a\\b', 'c', 'file'), 'x');
  expect(fs.readFileSync(join(root, 'a\\b', 'c', 'file'), 'utf8')).toBe('x');
});

test('a drive that is none takes no file', () => {
  existsSync.mockReturnValue(false); // as Windows says of Q:\ and all below it; a path above a root is the root
  expect(() => checkFilePlace(join('/', 'x', 'file'))).toThrow("cannot write '/x/file': there is no '/'");
  existsSync.mockReset();
});
