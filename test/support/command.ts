import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../src/files.js';

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
        resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
      },
    );
  });
}
