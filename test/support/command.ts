import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { packageRoot } from '../../src/files.js';
import { sampleText } from './text.js';

/** Runs the built command line in a folder. */
export function runCommand(
  cwd: string,
  parameters: readonly string[],
  environment: Record<string, string> = {},
): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise(resolve => {
    execFile(
      process.execPath,
      [join(packageRoot, 'dist/src/cli/main.js'), ...parameters],
      { cwd, env: { ...process.env, ...environment } },
      (error, stdout, stderr) => {
        // without a number, a signal ended it
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        resolve({ status, stdout, stderr });
      },
    );
  });
}

/** Makes tokens of a sample text in a folder: en.txt, tokenizer.json and the token folder en. */
export async function tokenizeSample(cwd: string): Promise<void> {
  writeFileSync(join(cwd, 'en.txt'), sampleText(0, 4000));
  for (const command of [
    ['tokenizer', 'train', 'en.txt', '--vocab-size', '280', '--out', 'tokenizer.json'],
    ['tokenize', 'en.txt', '--tokenizer', 'tokenizer.json', '--out', 'en'],
  ]) {
    const { status, stderr } = await runCommand(cwd, command);
    expect(status, stderr).toBe(0);
  }
}
