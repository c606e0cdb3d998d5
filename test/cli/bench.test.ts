/** `bench` as a user meets it: bad usage, and one work as JSON and as files. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { packageRoot } from '../../src/files.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-bench-'));
afterAll(() => rmSync(root, { recursive: true }));

function bench(...parameters: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const main = join(packageRoot, 'dist/src/cli/main.js');
  return new Promise(resolve => {
    execFile(process.execPath, [main, 'bench', ...parameters], { cwd: root }, (error, stdout, stderr) => {
      resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}

test.each([
  [['convolution'], "no benchmark 'convolution'; there are matmul, attention"],
  [['matmul', '--size', '0'], 'must be a whole number of at least 1'],
  [['matmul', '--size', '64,many'], 'must be a whole number of at least 1'],
  [['matmul', 'step', '--size', '64'], '--size goes with one of matmul'],
  [['matmul', '--size', '200000'], 'needs 160000000000 bytes in one buffer'],
  [['matmul', '--rounds', '0'], 'must be a whole number of at least 1'],
  [['matmul', '--adapter', 'no such'], "no adapter matches 'no such'"],
])('%j is bad usage', async (parameters, message) => {
  const { status, stderr } = await bench(...parameters);
  expect(stderr).toContain(message);
  expect(status).toBe(2);
});

test('one work: a table, JSON on request, and files', async () => {
  const { status, stdout, stderr } = await bench(
    ...['matmul', '--size', '33', '--rounds', '1', '--seconds', '0.01', '--json', '--out', 'found'],
  );
  expect(status, stderr).toBe(0);
  const result = JSON.parse(stdout) as { samples: { name: string; wall: number[] }[]; summary: { share?: number }[] };
  expect(result.samples.map(({ name }) => name)).toEqual([
    'multiply-add ceiling',
    'copy ceiling',
    'matmul NT 33',
    'matmul NN 33',
    'matmul TN 33',
  ]);
  expect(result.summary.at(-1)!.share).toBeGreaterThan(0);
  for (const file of ['benchmark.json', 'benchmark.html']) expect(existsSync(join(root, 'found', file))).toBe(true);
});
