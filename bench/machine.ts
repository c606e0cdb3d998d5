/** Where and on what a benchmark ran. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../src/files.js';
import type { AdapterDescription } from '../src/gpu/adapters.js';

/** What must be known to read a result: it is kept with the samples. */
export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly threads: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  /** Load averages over 1, 5 and 15 minutes, at the end: the benchmark's own is about 1 to 2. */
  readonly load: readonly number[];
  readonly node: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly adapter: Pick<AdapterDescription, 'name' | 'driver' | 'kind' | 'subgroupSizes' | 'features'>;
}

export function describeMachine(adapter: AdapterDescription): Machine {
  const { name, driver, kind, subgroupSizes, features } = adapter;
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    threads: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    load: loadavg(),
    node: process.version,
    versions: {
      babelgrad: versionOf(join(packageRoot, 'package.json')),
      webgpu: versionOf(createRequire(import.meta.url).resolve('webgpu/package.json')),
    },
    adapter: { name, driver, kind, subgroupSizes, features },
  };
}

function versionOf(path: string): string {
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}
