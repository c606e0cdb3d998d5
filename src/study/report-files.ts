/** Writes the files of a report into its folder, in place of those of the report before. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileWhole } from '../files.js';
import { sha256 } from '../hash.js';

export type ReportFiles = Readonly<Record<string, string | Uint8Array>>;

/** The file in the folder that holds the SHA-256 of every figure and fit of the last report, by the path there. */
const WRITTEN = 'written.json';
const isOptional = (name: string) => /^(figures|fits)\/[^/\\]+$/.test(name);
const writtenSchema = z.record(z.string().refine(isOptional), z.string());

/**
 * Writes `files`, by their paths in `folder`, and removes the figures and fits of an earlier report that are not among
 * them. Any other file stays: one that no report made, and one that has changed since.
 * @returns the paths of `files`.
 */
export function replaceReport(folder: string, files: ReportFiles): string[] {
  for (const [name, hash] of Object.entries(lastWritten(folder))) {
    const path = join(folder, name);
    if (!(name in files) && holds(path, hash)) rmSync(path);
  }
  const optional = Object.entries(files).filter(([name]) => isOptional(name));
  const written = Object.fromEntries(optional.map(([name, data]) => [name, sha256(data)]));
  writeFileWhole(join(folder, WRITTEN), `${JSON.stringify(written, null, 1)}\n`);
  return Object.entries(files).map(([name, data]) => {
    const path = join(folder, name);
    writeFileWhole(path, data);
    return path;
  });
}

/** Returns an empty record if there is none, or it cannot be read: then no file is known to be a report's. */
function lastWritten(folder: string): Record<string, string> {
  try {
    return writtenSchema.parse(JSON.parse(readFileSync(join(folder, WRITTEN), 'utf8')));
  } catch {
    return {};
  }
}

function holds(path: string, hash: string): boolean {
  try {
    return sha256(readFileSync(path)) === hash;
  } catch {
    return false; // it is gone
  }
}
