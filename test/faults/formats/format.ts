/** What is said of a format, and where the sound files are that others are changed from. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Mutate } from '../mutate.js';

export interface Format {
  readonly name: string;
  readonly file: string;
  /** The number of inputs of a short run. */
  readonly inputs: number;
  readonly whole: Buffer;
  readonly mutate: Mutate;
  /** Writes what stands beside the file. */
  readonly prepare?: (folder: string) => void;
  readonly read: (path: string, folder: string) => unknown;
}

/** Files of the sound model, data set, run, study and cache that others are changed from. */
export const sound = mkdtempSync(join(tmpdir(), 'babelgrad-sound-'));
process.on('exit', () => rmSync(sound, { recursive: true, force: true }));
export const fileOf = (...path: string[]): Buffer => readFileSync(join(sound, ...path));
export const text = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
export const lines = (values: readonly unknown[]): Buffer =>
  Buffer.from(values.map(v => `${JSON.stringify(v)}\n`).join(''));
