/**
 * The kernels that a process compiles, as files: with `BABELGRAD_WGSL=DIR` each specialised source is written to
 * DIR/LABEL-HASH.wgsl.
 */
import { join } from 'node:path';
import { makeFolder, writeFileWhole } from '../files.js';
import { sha256 } from '../hash.js';

/** Returns the folder that the environment names. @throws UserError when it cannot be made. */
export function kernelFolder(): string | undefined {
  const folder = process.env.BABELGRAD_WGSL || undefined;
  if (folder !== undefined) makeFolder(folder);
  return folder;
}

/** Writes a kernel below a line with its label; one source has one name. */
export function writeKernel(folder: string, label: string, source: string): void {
  const name = `${label.replaceAll(/[^\w.-]+/g, '_')}-${sha256(source).slice(0, 8)}.wgsl`;
  writeFileWhole(join(folder, name), `// ${label}\n${source}`);
}
