/** Tests on the compilers of GPUs, which are fetched and unpacked once; where they cannot be had they are skipped. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'vitest';
import { packageRoot } from '../../src/files.js';

const unpacked = spawnSync('bash', [join(packageRoot, 'tools/gpu-compilers.sh'), 'navi21', '--version'], {
  encoding: 'utf8',
  timeout: 600_000,
});
if (unpacked.status !== 0) {
  process.stderr.write(`skipped: the compilers of GPUs cannot be had here: ${unpacked.stderr.trim()}\n`);
}
export const testWithCompilers = test.skipIf(unpacked.status !== 0);
