/** What makes files outlast a loss of power: a file's bytes and a folder's entries are each flushed by themselves. */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';

const isWindows = (): boolean => process.platform === 'win32';

/** What Windows answers for what another program has open, such as one that looks for viruses in new files. */
const IN_USE = ['EPERM', 'EACCES', 'EBUSY'];
/** How often Windows is asked again, after pauses that grow by so much: for three seconds in all. */
const [RETRIES, PAUSE_MS] = [10, 50];
const neverChanged = new Int32Array(new SharedArrayBuffer(4));

/** Moves a file, over another too, or a folder. Windows refuses that while another program has one of them open. */
export function movePath(from: string, to: string): void {
  for (let tries = 1; ; tries++) {
    try {
      renameSync(from, to);
      return;
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (!isWindows() || tries > RETRIES || !IN_USE.includes(code)) throw error;
    }
    Atomics.wait(neverChanged, 0, 0, tries * PAUSE_MS);
  }
}

/** Removes a file, or a folder with what is in it, if it is there. */
export function removePath(path: string): void {
  const retry = isWindows() ? { maxRetries: RETRIES, retryDelay: PAUSE_MS } : {};
  rmSync(path, { recursive: true, force: true, ...retry });
}

/** Flushes the entries of a folder, so that what was made, renamed or removed in it stays so. */
export function syncFolder(folder: string): void {
  if (isWindows()) return; // it flushes no folders, and its file system keeps a journal of entries
  syncPath(folder);
}

/** Flushes a folder with all that is in it, from the inside out. */
export function syncTree(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) syncTree(path);
    else if (entry.isFile()) syncPath(path);
  }
  syncFolder(folder);
}

/** Makes a folder and those above it, to stay. @returns the first that was not there before, if there was one. */
export function makeFoldersDurably(path: string): string | undefined {
  const first = mkdirSync(path, { recursive: true });
  if (first === undefined) return undefined;
  const above = resolve(dirname(first));
  let made = above;
  syncFolder(above);
  for (const name of relative(above, resolve(path)).split(sep).slice(0, -1)) {
    made = join(made, name);
    syncFolder(made);
  }
  return first;
}

function syncPath(path: string): void {
  const descriptor = openSync(path, isWindows() ? 'r+' : 'r'); // Windows flushes only what may be written
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** A new file that is written from its beginning to its end, and summed on the way. */
export class OutputFile {
  readonly #descriptor: number;
  readonly #onFinish: ((sha256: string) => void) | undefined;
  readonly #hash: Hash | undefined;
  #isOpen = true;

  /** Makes the file, which must not exist. `onFinish` is told the SHA-256 of what was written. */
  constructor(path: string, onFinish?: (sha256: string) => void) {
    this.#descriptor = openSync(path, 'wx');
    this.#onFinish = onFinish;
    this.#hash = onFinish && createHash('sha256');
  }

  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#descriptor, bytes, done, bytes.length - done);
    this.#hash?.update(bytes);
  }

  /** Makes sure that the file is on the disk, and closes it. */
  finish(): void {
    fsyncSync(this.#descriptor);
    this.close();
    if (this.#hash) this.#onFinish!(this.#hash.digest('hex'));
  }

  /** Closes the file as it is; does nothing if it is closed already. */
  close(): void {
    if (this.#isOpen) closeSync(this.#descriptor);
    this.#isOpen = false;
  }
}
