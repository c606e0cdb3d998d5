/** A Parquet file that its reader is never done with: a bit of a page's header makes the page end before it begins. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readParquetRows } from '../../src/data/parquet.js';
import { packageRoot } from '../../src/files.js';
import { temporaryFolder } from './temporary.js';

const { folder } = temporaryFolder();
const endless = join(import.meta.dirname, '../fixtures/data/endless.parquet');

test('is given up when nothing more is read of it', async () => {
  const read = async () => {
    for await (const { row } of readParquetRows(endless, 'text', undefined, 3)) expect(row).toBeGreaterThan(0);
  };
  await expect(read()).rejects.toThrow(
    /endless.parquet' cannot be read: nothing more was read of it in 3 s; .* damaged/,
  );
});

test('does not keep a command from being stopped', async () => {
  const command = [
    join(packageRoot, 'dist/src/cli/main.js'),
    'tokenizer',
    'train',
    endless,
    '--vocab-size',
    '300',
    '--out',
    't.json',
  ];
  const child = spawn(process.execPath, command, { cwd: folder, stdio: 'ignore' });
  setTimeout(() => child.kill('SIGTERM'), 5000);
  const begun = performance.now();
  expect(await once(child, 'exit')).toEqual([null, 'SIGTERM']);
  expect(performance.now() - begun).toBeLessThan(20_000); // long before it would be given up
});
