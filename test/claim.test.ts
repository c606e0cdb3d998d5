/** A folder is claimed by one process, until it lets go or dies. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { claimFolder, isClaimed } from '../src/claim.js';
import { UserError } from '../src/errors.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-claim-'));
afterAll(() => rmSync(root, { recursive: true }));

test('one has it at a time; folders that were made for nothing go', async () => {
  const folder = join(root, 'runs', 'one');
  expect(await isClaimed(folder)).toBe(false);
  const release = await claimFolder(folder);
  expect(await isClaimed(folder)).toBe(true);
  expect(await claimFolder(folder)).toBeUndefined();
  await release!();
  expect(await isClaimed(folder)).toBe(false);
  expect(existsSync(join(root, 'runs'))).toBe(false);

  mkdirSync(folder, { recursive: true });
  await (await claimFolder(folder))!();
  expect(existsSync(folder)).toBe(true);
});

test('what was written under it stays', async () => {
  const folder = join(root, 'two');
  const release = await claimFolder(folder);
  writeFileSync(join(folder, 'config.json'), '');
  await release!();
  expect(existsSync(join(folder, 'config.json'))).toBe(true);
});

test('one that was not renewed for a minute, as of a process that was killed, counts no more', async () => {
  const folder = join(root, 'three');
  const age = (seconds: number) => {
    const then = new Date(Date.now() - 1000 * seconds);
    utimesSync(join(folder, 'claim'), then, then);
  };
  mkdirSync(join(folder, 'claim'), { recursive: true });
  age(50);
  expect(await claimFolder(folder)).toBeUndefined();
  age(70);
  expect(await isClaimed(folder)).toBe(false);
  const release = await claimFolder(folder);
  expect(await isClaimed(folder)).toBe(true);
  await release!();
});

test('a path that is no place for a folder', async () => {
  writeFileSync(join(root, 'file'), '');
  await expect(claimFolder(join(root, 'file'))).rejects.toThrow(UserError);
});
