/**
 * Claims of folders: a run's folder is written by one process at a time, the one that has claimed it, on any machine
 * that shares the folder.
 */
import { rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import lockfile from 'proper-lockfile';
import { makeFolder, writeError } from './files.js';

/** A claim that is not renewed for this long no longer counts: its process or machine has died. */
const STALE_MS = 60_000;

const optionsFor = (folder: string) => ({
  lockfilePath: join(folder, 'claim'),
  realpath: false,
  stale: STALE_MS,
  onCompromised(error: Error) {
    // this process was suspended for so long that another has the folder: both would write it
    throw new Error(`'${folder}' is no longer this process's to write (${error.message})`);
  },
});

export const isClaimed = (folder: string): Promise<boolean> => lockfile.check(folder, optionsFor(folder));

/**
 * Claims a folder for this process, and makes it.
 * @returns a function that ends the claim, and removes the folder if it was made here and is empty; undefined when
 * another process has the claim.
 * @throws UserError when it is no place for a folder.
 */
export async function claimFolder(folder: string): Promise<(() => Promise<void>) | undefined> {
  const made = makeFolder(folder);
  let release: () => Promise<void>;
  try {
    release = await lockfile.lock(folder, optionsFor(folder));
  } catch (error) {
    if ((error as { code?: string }).code === 'ELOCKED') return undefined;
    throw writeError(folder, error);
  }
  return async () => {
    await release();
    if (made !== undefined) removeEmpty(folder, made);
  };
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
