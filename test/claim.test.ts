/** A folder is claimed by one process, until it lets go or dies. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import lockfile from 'proper-lockfile';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { claimFolder, isClaimed, joinClaim, showClaim } from '../src/claim.js';
import { UserError } from '../src/errors.js';
import { packageRoot } from '../src/files.js';

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

test('its owner stands there from its begin to its end, whenever the process is killed', async () => {
  const folder = join(root, 'owned');
  const ownerNow = () => {
    const [owner] = JSON.parse(readFileSync(join(folder, 'claim.json'), 'utf8')) as { pid: number }[];
    return owner!.pid;
  };
  const seen: number[] = [];
  const { lock } = lockfile;
  vi.spyOn(lockfile, 'lock').mockImplementation(async (path, options) => {
    if (path !== folder) return lock(path, options);
    seen.push(ownerNow());
    const release = await lock(path, options);
    return async () => {
      await release();
      seen.push(ownerNow());
    };
  });
  try {
    await (await claimFolder(folder))!();
  } finally {
    vi.restoreAllMocks();
  }
  expect(seen).toEqual([process.pid, process.pid]);
  expect(existsSync(folder)).toBe(false);
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

describe('the process that has it', () => {
  /** Starts a process that claims a folder and lives until it is killed. */
  async function claimElsewhere(folder: string): Promise<{ readonly pid: number; kill(): Promise<void> }> {
    const script = `
      import { claimFolder } from ${JSON.stringify(join(packageRoot, 'dist/src/claim.js'))};
      if (await claimFolder(${JSON.stringify(folder)})) process.stdout.write('claimed');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'close');
    expect(String((await once(child.stdout, 'data'))[0])).toBe('claimed');
    return {
      pid: child.pid!,
      kill: async () => {
        child.kill('SIGKILL');
        await ended;
      },
    };
  }
  type Owner = { host: string; kernel: string; pid: number; started: string };
  const ownersFile = (folder: string) => join(folder, 'claim.json');
  const changeOwner = (folder: string, change: Partial<Owner>) => {
    const [owner] = JSON.parse(readFileSync(ownersFile(folder), 'utf8')) as [Owner];
    writeFileSync(ownersFile(folder), JSON.stringify([{ ...owner, ...change }]));
  };

  test('is named; when it was killed its claim ends with it, and nothing of it stays', async () => {
    const folder = join(root, 'killed');
    const other = await claimElsewhere(folder);
    expect(await isClaimed(folder)).toBe(true);
    expect(await claimFolder(folder)).toBeUndefined();
    expect(showClaim(folder)).toBe(`process ${other.pid} on '${hostname()}'`);
    await other.kill();
    expect(existsSync(join(folder, 'claim'))).toBe(true);
    expect(await isClaimed(folder)).toBe(false);
    writeFileSync(join(folder, 'file'), '');
    const release = await claimFolder(folder);
    expect(await isClaimed(folder)).toBe(true);
    await release!();
    expect(readdirSync(folder)).toEqual(['file']);
  });

  test('keeps the claim while it lives, however long it was suspended', async () => {
    const folder = join(root, 'suspended');
    const other = await claimElsewhere(folder);
    const longAgo = new Date(Date.now() - 3_600_000);
    utimesSync(join(folder, 'claim'), longAgo, longAgo);
    expect(await isClaimed(folder)).toBe(true);
    expect(await claimFolder(folder)).toBeUndefined();
    await other.kill();
  });

  test('is not another of the same number, nor one of the same number on another host', async () => {
    const folder = join(root, 'numbered');
    const other = await claimElsewhere(folder);
    changeOwner(folder, { started: '1' }); // the number was given out again
    expect(await isClaimed(folder)).toBe(false);
    await other.kill();
    for (const elsewhere of [{ host: 'elsewhere' }, { kernel: 'another container' }]) {
      changeOwner(folder, { host: hostname(), ...elsewhere });
      expect(await isClaimed(folder)).toBe(true);
      expect(await claimFolder(folder)).toBeUndefined();
      expect(showClaim(folder)).toMatch(/^process \d+ on '.*' \(if that has died, its claim ends in (60|5\d) s\)$/);
    }
    const then = new Date(Date.now() - 61_000);
    utimesSync(join(folder, 'claim'), then, then);
    await (await claimFolder(folder))!();
  });

  test('is told by the age of the claim alone where no time of its start is known, unless it has ended', async () => {
    const folder = join(root, 'unknown start');
    const other = await claimElsewhere(folder);
    changeOwner(folder, { started: '' });
    expect(await isClaimed(folder)).toBe(true);
    expect(await claimFolder(folder)).toBeUndefined();
    expect(showClaim(folder)).toMatch(/its claim ends in \d+ s\)$/);
    const then = new Date(Date.now() - 61_000);
    utimesSync(join(folder, 'claim'), then, then); // the number may be another process's now
    expect(await isClaimed(folder)).toBe(false);
    const now = new Date();
    utimesSync(join(folder, 'claim'), now, now);
    await other.kill();
    expect(await isClaimed(folder)).toBe(false);
    await (await claimFolder(folder))!();
  });

  test('leaves it to one that joined it', async () => {
    const folder = join(root, 'joined');
    const other = await claimElsewhere(folder);
    joinClaim(folder);
    await other.kill();
    expect(await isClaimed(folder)).toBe(true);
    expect(await claimFolder(folder)).toBeUndefined();
  });

  test('is one of many that claim at once', async () => {
    const folder = join(root, 'many');
    const other = await claimElsewhere(folder);
    await other.kill(); // what they meet is dead, and all want to end it
    const releases = await Promise.all(Array.from({ length: 12 }, () => claimFolder(folder)));
    expect(releases.filter(release => release !== undefined)).toHaveLength(1);
    await releases.find(release => release !== undefined)!();
  });
});

test('a path that is no place for a folder', async () => {
  writeFileSync(join(root, 'file'), '');
  await expect(claimFolder(join(root, 'file'))).rejects.toThrow(UserError);
});
