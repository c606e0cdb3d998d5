/** The programs and snippets in docs/ do what they say. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { packageRoot } from '../src/files.js';

/** What a program of docs/ prints, on the adapter under test. */
async function run(program: string): Promise<string> {
  return (await promisify(execFile)(process.execPath, [join('docs', program)], { cwd: packageRoot })).stdout;
}

test('docs/example.mjs learns to count', async () => {
  const printed = await run('example.mjs');
  const [, before, after] = /loss before: ([\d.]+).*loss after 50 steps: ([\d.]+)/s.exec(printed)!.map(Number);
  expect(before).toBeGreaterThan(4);
  expect(after).toBeLessThan(0.1);
  expect(printed).toMatch(/after 36 comes 37; saved in /);
});
