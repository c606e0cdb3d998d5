/** A kernel that never ends, on a driver that waits for it for ever: the run goes on, and the process ends. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { packageRoot } from '../../src/files.js';
import { runCommand } from '../support/command.js';
import { resultOf, startCommand, tokenizeLanguages } from './processes.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-hang-'));
afterAll(() => rmSync(root, { recursive: true }));

const TRAIN = [
  ...['train', '--source', 'en=en', '--hidden-size', '32', '--intermediate-size', '48', '--num-hidden-layers', '1'],
  ...['--num-attention-heads', '2', '--tokens', '1536', '--context-length', '32', '--batch-tokens', '128'],
  ...['--checkpoint-every-tokens', '512', '--eval-every-tokens', '512', '--eval-tokens', '64', '--deterministic'],
];

/** Gives the process's first device a kernel without an end, once the run has a checkpoint of its fourth step. */
const PRELOAD = `
  import { existsSync } from 'node:fs';
  import { Device } from '${pathToFileURL(join(packageRoot, 'dist/src/gpu/device.js'))}';
  const { submit } = Device.prototype;
  let isGiven = false;
  Device.prototype.submit = function (commands) {
    submit.call(this, commands);
    if (isGiven || !existsSync('hung/checkpoints/step-00000004')) return;
    isGiven = true;
    const source = \`
      @group(0) @binding(0) var<storage, read_write> flag: array<atomic<u32>>;
      @compute @workgroup_size(1) fn main() { while (atomicLoad(&flag[0]) == 0u) { atomicAdd(&flag[1], 1u); } }\`;
    const buffer = this.createBuffer('flag', 16);
    void this.compile('endless', source).then(pipeline => {
      const bindGroup = this.bind(pipeline, [[0, { buffer, offsetBytes: 0, sizeBytes: 16 }]]);
      submit.call(this, [{ kind: 'dispatch', label: 'endless', pipeline, bindGroup, workgroups: [1, 1, 1] }]);
    });
  };`;

test('a run whose device hangs goes on on another, or ends and is gone on with, to the same bits', async () => {
  await tokenizeLanguages(root);
  expect(await runCommand(root, [...TRAIN, '--out', 'whole'])).toMatchObject({ status: 0 });
  writeFileSync(join(root, 'preload.mjs'), PRELOAD);
  const { child, ended } = startCommand(root, [...TRAIN, '--out', 'hung', '--hang-seconds', '5'], {
    NODE_OPTIONS: `--import ${pathToFileURL(join(root, 'preload.mjs'))}`,
  });
  const late = setTimeout(() => child.kill('SIGKILL'), 240_000);
  const { status, stderr } = await ended;
  clearTimeout(late);
  expect(stderr).toMatch(/^warning: the device hangs: .*; going on from the checkpoint of step 4 \(1 of at most 3/m);
  // on a software adapter the endless kernel keeps a thread, which the next device may need
  if (status !== 0) {
    expect(status, stderr).toBe(1);
    expect(stderr).toMatch(/^error: the device hangs: .*is whole; go on with 'babelgrad resume hung'$/m);
    expect(await runCommand(root, ['resume', 'hung'])).toMatchObject({ status: 0 });
  }
  expect(resultOf(join(root, 'hung'))).toEqual(resultOf(join(root, 'whole')));
});
