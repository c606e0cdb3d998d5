/** `export` as a user meets it. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LAYOUTS, writeCheckpoint } from '../support/checkpoints.js';
import { runCommand } from '../support/command.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-export-'));
const babelgrad = (...parameters: string[]) => runCommand(root, parameters);
beforeAll(() => {
  writeCheckpoint(join(root, 'model'), LAYOUTS['SmolLM, BF16, tied, 3 heads to 1']!);
});
afterAll(() => rmSync(root, { recursive: true }));

test('writes shards of the size that was asked for, and says so in JSON', async () => {
  const { status, stdout, stderr } = await babelgrad(
    ...['export', '--model', 'model', '--out', 'out', '--dtype', 'f16', '--shard-size', '20KB', '--json'],
  );
  expect(status, stderr).toBe(0);
  const result = JSON.parse(stdout) as { files: string[]; bytes: number };
  expect(result).toMatchObject({ model: 'model', out: 'out', dtype: 'f16' });
  expect(readdirSync(join(root, 'out')).sort()).toEqual(
    ['SHA256SUMS', 'config.json', 'model.safetensors.index.json', ...result.files].sort(),
  );
  for (const file of result.files) {
    const bytes = readFileSync(join(root, 'out', file));
    expect(bytes.length - 8 - Number(bytes.readBigUInt64LE(0)), file).toBeLessThanOrEqual(20_000);
  }
  const index = JSON.parse(readFileSync(join(root, 'out', 'model.safetensors.index.json'), 'utf8'));
  expect(index.metadata.total_size).toBe(result.bytes);
});

test.each([
  ['no type', ['--out', 'bad'], /required option '--dtype <type>' not specified/],
  ['another type', ['--out', 'bad', '--dtype', 'int8'], /Allowed choices are f32, f16, bf16/],
  ['no size', ['--out', 'bad', '--dtype', 'f16', '--shard-size', 'big'], /It must be a size such as 5GB, 500MB/],
  ['a folder that is there', ['--out', 'model', '--dtype', 'f16'], /'model' is there already/],
])('%s: status 2', async (_, options, message) => {
  const { status, stderr } = await babelgrad('export', '--model', 'model', ...options);
  expect(stderr).toMatch(message);
  expect(status).toBe(2);
  expect(existsSync(join(root, 'bad'))).toBe(false);
});
