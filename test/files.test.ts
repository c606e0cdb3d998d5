/** A path that cannot be written is the user's to mend: it is named as it was given, with the reason. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UserError } from '../src/errors.js';
import { checkFilePlace, writeFileWhole, writeFolderWhole } from '../src/files.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-files-'));
const path = (name: string) => join(root, name);
beforeAll(() => {
  writeFileSync(path('file'), 'kept');
  mkdirSync(path('folder'));
});
afterAll(() => rmSync(root, { recursive: true }));

/** The error is a UserError with exactly this message, and nothing was left behind. */
function refused(error: unknown, message: string): void {
  expect(error).toBeInstanceOf(UserError);
  expect((error as Error).message).toBe(message);
  expect(readdirSync(root).sort()).toEqual(['file', 'folder']);
}

describe('a path that is no place for a file', () => {
  const places: [string, string, string][] = [
    ['below a file', path('file/x'), `'${path('file')}' is not a folder`],
    ['far below a file', path('file/x/y'), `'${path('file')}' is not a folder`],
    ['a folder', path('folder'), 'it is a folder'],
    ['a name that is too long', path('x'.repeat(300)), 'the name is too long'],
  ];
  // where not even the superuser may write
  if (process.platform === 'linux') places.push(['a folder that is closed', '/sys/x', 'permission denied']);

  test.each(places)('%s', (what, place, reason) => {
    const thrownBy = (write: () => void): unknown => {
      try {
        write();
      } catch (error) {
        return error;
      }
      return undefined;
    };
    const message = `cannot write '${place}': ${reason}`;
    refused(
      thrownBy(() => writeFileWhole(place, 'x')),
      message,
    );
    if (/too long|closed/.test(what)) return; // only the write itself can tell, for the superuser too
    refused(
      thrownBy(() => checkFilePlace(place)),
      message,
    );
  });

  test('one that is, as a new file, over an old one, and in folders to be made', () => {
    for (const name of ['new', 'file', 'some/where/new']) expect(() => checkFilePlace(path(name))).not.toThrow();
    expect(existsSync(path('some'))).toBe(false);
  });
});

test('a path that is no place for a folder', async () => {
  const place = path('file/x');
  const error = await writeFolderWhole(place, () => {}).catch(found => found);
  refused(error, `cannot write '${place}': '${path('file')}' is not a folder`);
});

test("an error of what fills a folder stays as it is: it is not about the folder's place", async () => {
  const missing = Object.assign(new Error('ENOENT: no such file, open input'), { code: 'ENOENT', errno: -2 });
  const error = await writeFolderWhole(path('new'), () => Promise.reject(missing)).catch(found => found);
  expect(error).toBe(missing);
});
