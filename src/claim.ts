/**
 * Claims of folders: a run's folder is written by one process at a time, the one that has claimed it, on any machine
 * that shares the folder.
 *
 * A claim is a folder that its owner renews. Beside it stands who owns it. On this machine the system knows whether
 * that process lives, so that a claim ends with it; of another machine only the age of the claim tells. Where a process
 * has no time at which it was started (only Linux tells it here), a number that is in use may be another's: there, too,
 * the age tells, unless no process has the number.
 */
import { existsSync, readFileSync, readlinkSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import lockfile from 'proper-lockfile';
import { z } from 'zod';
import { makeFolder, writeError, writeFileWhole } from './files.js';

/** A claim of which only its age tells, and that was not renewed for this long, no longer counts. */
const STALE_MS = 60_000;

const claimOf = (folder: string): string => join(folder, 'claim');
const ownersOf = (folder: string): string => join(folder, 'claim.json');

const optionsFor = (folder: string) => ({
  lockfilePath: claimOf(folder),
  realpath: false,
  stale: STALE_MS,
  onCompromised(error: Error) {
    // this process was suspended for so long that another machine has the folder: both would write it
    throw new Error(`'${folder}' is no longer this process's to write (${error.message})`);
  },
});

/** A process, and where its number means that process. */
const ownerSchema = z.object({ host: z.string(), kernel: z.string(), pid: z.int().positive(), started: z.string() });
type Owner = z.infer<typeof ownerSchema>;

/** Reads what only Linux has. */
function orNothing(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

/** When a process was started, in ticks since the machine was, which tells it from a later one of the same number. */
const startOf = (pid: number): string =>
  // the name before may hold spaces, but no parenthesis follows it
  orNothing(() => readFileSync(`/proc/${pid}/stat`, 'utf8').split(')').at(-1)!.trim().split(' ')[19] ?? '');

/** The running system, and the container in it: elsewhere the same host name may mean other processes. */
const KERNEL = orNothing(
  () => `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`,
);

const thisProcess = (): Owner => ({
  host: hostname(),
  kernel: KERNEL,
  pid: process.pid,
  started: startOf(process.pid),
});

const isHere = ({ host, kernel }: Owner): boolean => host === hostname() && kernel === KERNEL;

/** Whether a process of this machine lives; undefined where its number may have been given to another meanwhile. */
function isAlive({ pid, started }: Owner): boolean | undefined {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return started === '' ? undefined : startOf(pid) === started;
}

function readOwners(folder: string): readonly Owner[] {
  try {
    return z.array(ownerSchema).parse(JSON.parse(readFileSync(ownersOf(folder), 'utf8')));
  } catch {
    return []; // a claim that is being made, or of a version that wrote no owners: its age decides
  }
}

/** Whether an owner of a claim lives; undefined where this machine cannot know, and the claim's age decides. */
function ownersLive(folder: string): boolean | undefined {
  const owners = readOwners(folder);
  if (owners.length === 0 || !owners.every(isHere)) return undefined;
  const alive = owners.map(isAlive);
  if (alive.includes(true)) return true;
  return alive.includes(undefined) ? undefined : false;
}

/** Whether a process has the folder. */
export async function isClaimed(folder: string): Promise<boolean> {
  if (!existsSync(claimOf(folder))) return false;
  return ownersLive(folder) ?? lockfile.check(folder, optionsFor(folder));
}

/** Says who has claimed a folder, and until when a claim counts of which its age alone tells. */
export function showClaim(folder: string): string {
  const [owner] = readOwners(folder);
  if (!owner) return 'another process';
  const who = `process ${owner.pid} on '${owner.host}'`;
  if (isHere(owner) && owner.started !== '') return who;
  const age = orNothing(() => String(Date.now() - statSync(claimOf(folder)).mtimeMs));
  const left = Math.max(0, Math.ceil((STALE_MS - Number(age)) / 1000));
  return `${who} (if that has died, its claim ends in ${left} s)`;
}

/**
 * Claims a folder for this process, and makes it.
 * @returns a function that ends the claim, and removes the folder if it was made here and is empty; undefined when
 * another process has the claim.
 * @throws UserError when it is no place for a folder.
 */
export async function claimFolder(folder: string): Promise<(() => Promise<void>) | undefined> {
  const made = makeFolder(folder);
  const claim = await alone(folder, async () => {
    if (await isClaimed(folder)) return undefined;
    rmSync(claimOf(folder), { recursive: true, force: true });
    // the owner stands there first: of a claim without one, left by a process that was killed here, only its age tells
    writeFileWhole(ownersOf(folder), JSON.stringify([thisProcess()]));
    try {
      const release = await lockfile.lock(folder, optionsFor(folder));
      held.add(folder);
      return release;
    } catch (error) {
      forgetOwners(folder);
      throw error;
    }
  });
  if (!claim) return undefined;
  return async () => {
    await alone(folder, async () => {
      await claim();
      forgetOwners(folder);
    });
    if (made !== undefined) removeEmpty(folder, made);
  };
}

/** Makes this process an owner, too, of a folder that its parent has claimed: one of them keeps the claim alive. */
export function joinClaim(folder: string): void {
  writeFileWhole(ownersOf(folder), JSON.stringify([...readOwners(folder), thisProcess()]));
}

/** The folders that this process has claimed: when it ends, the library removes the claims, but not their owners. */
const held = new Set<string>();
process.on('exit', () => {
  for (const folder of held) forgetOwners(folder);
});

function forgetOwners(folder: string): void {
  held.delete(folder);
  rmSync(ownersOf(folder), { force: true });
}

/** How long two processes that claim at once wait for each other; looking and claiming takes milliseconds. */
const TURN = { stale: 5000, retries: { retries: 100, factor: 1, minTimeout: 50, maxTimeout: 100, randomize: true } };

/** Runs `body` in one process at a time: none ends a dead claim that another has just made its own. */
async function alone<Result>(folder: string, body: () => Promise<Result>): Promise<Result | undefined> {
  const turn = join(folder, 'claim.turn'); // the library tells locks apart by the file that is locked
  try {
    const release = await lockfile.lock(turn, { ...TURN, lockfilePath: turn, realpath: false });
    try {
      return await body();
    } finally {
      await release();
    }
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'ELOCKED') return undefined;
    throw code === undefined ? error : writeError(folder, error);
  }
}

/** Removes `folder`, and the folders above it up to `top`, as far as they are empty. */
function removeEmpty(folder: string, top: string): void {
  try {
    rmdirSync(folder);
  } catch {
    return; // it holds something
  }
  if (folder !== top) removeEmpty(dirname(folder), top);
}
