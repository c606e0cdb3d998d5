/** A result as files. */
import { join } from 'node:path';
import { writeFileWhole } from '../src/files.js';
import { benchmarkPage } from './page.js';
import type { BenchmarkResult } from './result.js';

/** Writes the result as JSON and as a page, into a folder or beside each other. @returns the paths. */
export function writeResult(out: string, result: BenchmarkResult): string[] {
  const json = out.endsWith('.json') ? out : join(out, 'benchmark.json');
  const page = json.replace(/json$/, 'html');
  writeFileWhole(json, `${JSON.stringify(result, null, 1)}\n`);
  writeFileWhole(page, benchmarkPage(result));
  return [json, page];
}
