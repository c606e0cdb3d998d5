/** Files that a reader or a crash never meets half written: they are written beside their place and moved into it. */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** The package's root folder, which holds kernels/ and package.json; the same from src/ and from dist/src/. */
export const packageRoot = folderAbove(import.meta.dirname, 'package.json');

function folderAbove(folder: string, file: string): string {
  return existsSync(join(folder, file)) ? folder : folderAbove(dirname(folder), file);
}

/** Where this program keeps what it can make again: `$XDG_CACHE_HOME/babelgrad`, or `~/.cache/babelgrad`. */
export const cacheFolder = (): string => join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'babelgrad');

/** Writes `data` to `path` whole or not at all, and makes the folders above it. */
export function writeFileWhole(path: string, data: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.partial`;
  try {
    writeFileSync(temporary, data, { flush: true });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Fills a new folder through `fill` and moves it to `path` when that is done; a folder already there is replaced. */
export async function writeFolderWhole(path: string, fill: (folder: string) => Promise<void> | void): Promise<void> {
  const temporary = `${path}.${process.pid}.partial`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  try {
    await fill(temporary);
    rmSync(path, { recursive: true, force: true });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw error;
  }
}
