/**
 * Writes files that no reader meets half written, nor anyone after a crash or a loss of power: each is written beside
 * its place, flushed, and moved into it, and then the folder around it is flushed.
 */
import { accessSync, constants, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { CHECKSUMS, showChecksums } from './checksums.js';
import { makeFoldersDurably, movePath, OutputFile, removePath, syncFolder, syncTree } from './durable.js';
import { messageOf, UserError } from './errors.js';

/** The package's root folder, which holds kernels/ and package.json; the same from src/ and from dist/src/. */
export const packageRoot = folderAbove(import.meta.dirname, 'package.json');

function folderAbove(folder: string, file: string): string {
  return existsSync(join(folder, file)) ? folder : folderAbove(dirname(folder), file);
}

/** The folder for what this program can make again: `$XDG_CACHE_HOME/babelgrad`, or `~/.cache/babelgrad`. */
export const cacheFolder = (): string => join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'babelgrad');

/**
 * Writes `data` to `path` whole or not at all, and makes the folders above it.
 * @throws UserError when `path` is no place for a file.
 */
export function writeFileWhole(path: string, data: string | Uint8Array): void {
  const temporary = temporaryFor(path);
  try {
    makeFoldersDurably(dirname(path));
    writeFileSync(temporary, data, { flush: true });
    movePath(temporary, path);
    syncFolder(dirname(path));
  } catch (error) {
    throw writeError(path, error);
  } finally {
    discard(temporary);
  }
}

/** A folder that is being filled. It keeps the checksums of what is written through it. */
export class NewFolder {
  readonly path: string;
  readonly #sums = new Map<string, string>();

  constructor(path: string) {
    this.path = path;
  }

  /** Makes a file to be written piece by piece. */
  create(name: string): OutputFile {
    return new OutputFile(join(this.path, name), sum => this.#sums.set(name, sum));
  }

  write(name: string, data: string | Uint8Array): void {
    const file = this.create(name);
    try {
      file.write(typeof data === 'string' ? Buffer.from(data) : data);
      file.finish();
    } finally {
      file.close();
    }
  }

  /** Makes a folder in this one, with checksums of its own. */
  async fill(name: string, fill: (folder: NewFolder) => Promise<void>): Promise<void> {
    const inner = new NewFolder(join(this.path, name));
    mkdirSync(inner.path);
    await fill(inner);
    inner.finish();
  }

  /** Writes the checksums, and flushes everything. */
  finish(): void {
    if (this.#sums.size > 0) this.write(CHECKSUMS, showChecksums(this.#sums));
    syncTree(this.path);
  }
}

/**
 * Fills a new folder through `fill` and moves it to `path` when that is done; a folder already there is replaced.
 * Files that are written through the `NewFolder` are summed in its SHA256SUMS.
 * @throws UserError when `path` is no place for a folder; Error naming it when the disk is full or fails.
 */
export async function writeFolderWhole(path: string, fill: (folder: NewFolder) => Promise<void> | void): Promise<void> {
  const temporary = temporaryFor(path);
  const inPlace = (step: () => void) => {
    try {
      step();
    } catch (error) {
      throw writeError(path, error);
    }
  };
  try {
    inPlace(() => {
      makeFoldersDurably(dirname(path));
      mkdirSync(temporary);
    });
    try {
      const folder = new NewFolder(temporary);
      await fill(folder);
      folder.finish();
    } catch (error) {
      throw isDiskFault(error) ? writeError(path, error) : error;
    }
    inPlace(() => replaceFolder(path, temporary));
  } finally {
    discard(temporary);
  }
}

/** The ending of the name that an old folder has while a new one takes its place. */
const REPLACED = '.replaced';

/** Moves a whole folder to `path`. Wherever this ends early, the new folder or the old one is found, and whole. */
function replaceFolder(path: string, folder: string): void {
  const old = `${path}${REPLACED}`;
  if (existsSync(path)) {
    removePath(old);
    movePath(path, old);
  }
  movePath(folder, path);
  syncFolder(dirname(path));
  removePath(old);
}

/** Removes a folder: wherever this ends early, it is there whole, or not at its place. */
export function removeFolderWhole(path: string): void {
  const aside = temporaryFor(path);
  movePath(path, aside);
  syncFolder(dirname(path));
  discard(aside);
}

/**
 * Returns where the folder `path` lies: beside its place where a crash came between the old folder's going and the new
 * one's coming.
 */
export function placeOfFolder(path: string): string {
  return !existsSync(path) && existsSync(`${path}${REPLACED}`) ? `${path}${REPLACED}` : path;
}

/** Puts a folder back that a crash left beside its place, or removes one that was replaced. */
export function recoverFolder(path: string): void {
  const place = placeOfFolder(path);
  if (place === path) removePath(`${path}${REPLACED}`);
  else movePath(place, path);
  syncFolder(dirname(path));
}

/** Whether what was written did not get onto the disk: it is full, or fails. What is read fails in other ways. */
function isDiskFault(error: unknown): error is Error {
  const { code, syscall, cause } = error as NodeJS.ErrnoException & { cause?: unknown };
  if (code === undefined) return cause !== undefined && isDiskFault(cause);
  return code === 'ENOSPC' || syscall === 'write' || syscall === 'fsync';
}

/** Lets a write beyond the limit of a file's size (ulimit -f) fail like one onto a full disk, in place of a kill. */
export function failBeyondFileLimit(): void {
  if (process.platform !== 'win32') process.on('SIGXFSZ', () => {});
}

/** The files and folders that are being written; if the process ends meanwhile, it removes them. */
const unfinished = new Set<string>();
process.on('exit', () => {
  for (const temporary of unfinished) discard(temporary);
});

/** Returns a path beside `path` where nothing is, to write at. */
function temporaryFor(path: string): string {
  const temporary = `${path}.${process.pid}.partial`;
  discard(temporary);
  unfinished.add(temporary);
  return temporary;
}

/** Removes what is left of a temporary file or folder. */
function discard(temporary: string): void {
  unfinished.delete(temporary);
  try {
    removePath(temporary);
  } catch {
    // it was never there, since its place is none: the error to tell is why it could not be made
  }
}

/**
 * Makes a folder and those above it.
 * @returns the first that was not there before, as an absolute path, or undefined when all were.
 * @throws UserError when `path` is no place for a folder.
 */
export function makeFolder(path: string): string | undefined {
  try {
    return makeFoldersDurably(path);
  } catch (error) {
    throw writeError(path, error);
  }
}

/**
 * Checks that a file can be written, for a command that writes one after long work. It changes nothing.
 * @throws UserError when `path` is no place for a file.
 */
export function checkFilePlace(path: string): void {
  const found = firstThatExists(path);
  if (!existsSync(found)) throw new UserError(cannotWrite(path, `there is no '${found}'`));
  const isFolder = statSync(found).isDirectory();
  if (isFolder && found === path) throw new UserError(cannotWrite(path, IS_FOLDER));
  if (!isFolder && found !== path) throw new UserError(cannotWrite(path, isNoFolder(found)));
  try {
    accessSync(isFolder ? found : dirname(path), constants.W_OK);
  } catch (error) {
    throw writeError(path, error);
  }
}

/** Returns `path`, or the nearest folder or file on the way to it that exists; a drive of Windows that is none, too. */
const firstThatExists = (path: string): string =>
  existsSync(path) || dirname(path) === path ? path : firstThatExists(dirname(path));

const cannotWrite = (path: string, reason: string): string => `cannot write '${path}': ${reason}`;
const IS_FOLDER = 'it is a folder';
const isNoFolder = (path: string): string => `'${path}' is not a folder`;

/** Why the system refuses a path that cannot be written however often it is tried. */
const REFUSALS: Readonly<Record<string, (path: string) => string>> = {
  EACCES: () => 'permission denied',
  EPERM: () =>
    process.platform === 'win32' ? 'another program has it open, or permission denied' : 'permission denied',
  EROFS: () => 'the file system is read-only',
  EISDIR: () => IS_FOLDER,
  EEXIST: path => isNoFolder(firstThatExists(path)),
  ENOTDIR: path => isNoFolder(firstThatExists(path)),
  ENOENT: path => `'${firstThatExists(path)}' takes no new files`,
  ENAMETOOLONG: () => 'the name is too long',
  EBUSY: () => 'another program has it open',
};

/** Turns the system's error about some file on the way into one about the path that was given. */
export function writeError(path: string, error: unknown): Error {
  const refusal = REFUSALS[(error as NodeJS.ErrnoException).code ?? ''];
  return refusal
    ? new UserError(cannotWrite(path, refusal(path)))
    : new Error(cannotWrite(path, systemReason(error)), { cause: error });
}

/** Returns the system's word for an error, without its code and the call. */
export function systemReason(error: unknown): string {
  const { code, errno, cause } = error as NodeJS.ErrnoException & { cause?: unknown };
  if (code === undefined && cause !== undefined) return systemReason(cause);
  if (code === 'ENOSPC') return 'no space left on the device';
  return (errno !== undefined && getSystemErrorMap().get(errno)?.[1]) || messageOf(error);
}
