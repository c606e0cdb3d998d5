/** The record of a base: which of its files are weights, and whose checksums are taken as they stand. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { recordOfBase } from '../../src/checkpoint/adapter-base.js';
import { CHECKSUMS } from '../../src/checksums.js';
import { sha256 } from '../../src/hash.js';

const folder = mkdtempSync(join(tmpdir(), 'babelgrad-base-'));
afterAll(() => rmSync(folder, { recursive: true }));
const write = (file: string, text: string) => writeFileSync(join(folder, file), text);

test('a base is its weights: the shards of the index, else the single file', async () => {
  for (const file of ['a.safetensors', 'b.safetensors', 'optimizer.safetensors', 'stray.safetensors'])
    write(file, file);
  const map = { x: 'b.safetensors', y: 'a.safetensors', z: 'b.safetensors' };
  write('model.safetensors.index.json', JSON.stringify({ weight_map: map }));
  const shards = { 'a.safetensors': sha256('a.safetensors'), 'b.safetensors': sha256('b.safetensors') };
  expect(await recordOfBase(folder)).toEqual({ path: folder, weights: shards });
  write('model.safetensors', 'single');
  expect((await recordOfBase(folder)).weights).toEqual({ 'model.safetensors': sha256('single') });
});

test('checksums beside it are taken only where they are known to be right', async () => {
  const listed = '0'.repeat(64);
  write(CHECKSUMS, `${listed}  model.safetensors\n`);
  expect((await recordOfBase(folder, true)).weights).toEqual({ 'model.safetensors': listed });
  expect((await recordOfBase(folder)).weights).toEqual({ 'model.safetensors': sha256('single') });
});
