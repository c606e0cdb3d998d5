/** A result as files. */
import { join } from 'node:path';
import { checkFilePlace, writeFileWhole } from '../src/files.js';
import { benchmarkPage } from './page.js';
import type { BenchmarkResult } from './result.js';

/** The JSON file and the page: in a folder `out`, or beside each other. */
function filesOf(out: string): { json: string; page: string } {
  const json = out.endsWith('.json') ? out : join(out, 'benchmark.json');
  return { json, page: json.replace(/json$/, 'html') };
}

/** @throws UserError when a result cannot be written there. */
export function checkResultPlace(out: string): void {
  for (const file of Object.values(filesOf(out))) checkFilePlace(file);
}

/** Writes the result as JSON and as a page, at whose end stands `made`: when and by what. @returns the paths. */
export function writeResult(out: string, result: BenchmarkResult, made?: string): string[] {
  const { json, page } = filesOf(out);
  writeFileWhole(json, `${JSON.stringify(result, null, 1)}\n`);
  writeFileWhole(page, benchmarkPage(result, made));
  return [json, page];
}
