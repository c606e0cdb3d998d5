/** Memory of the host that runs out: little suffices, and a run that it ends goes on to the bits of a whole one. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { packageRoot } from '../../src/files.js';
import { Random } from '../../src/random.js';
import { runCommand } from '../support/command.js';
import { after, isLong, resultOf, seed, tokenizeLanguages } from './processes.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-memory-'));
beforeAll(() => tokenizeLanguages(root));
afterAll(() => rmSync(root, { recursive: true }));

const steps = 200;
const writeRun = (out: string) =>
  writeFileSync(
    join(root, `${out}.yaml`),
    stringify({
      out,
      sources: [{ name: 'en', path: 'en' }],
      ...{ hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2, deterministic: true },
      ...{ tokens: steps * 128, contextLength: 32, batchTokens: 128, evalTokens: 200, checkpointEveryTokens: 256 },
    }),
  );

/** Forbids a process to take more memory than it has, but for so many bytes. */
function allowMore(pid: number, bytes: number): void {
  const kilobytes = Number(/^VmSize:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--as=${kilobytes * 1024 + bytes}`]);
  expect(status, String(stderr)).toBe(0);
}

test.runIf(process.platform === 'linux')(
  'a run whose memory ends at random points goes on to the same bits',
  async () => {
    const random = new Random(seed, 'memory');
    for (const name of ['starved', 'fed']) writeRun(name);
    const wanted = isLong ? 100 : 6;
    let ends = 0;
    for (let tries = 0; tries < 5 * wanted && ends < wanted; tries++) {
      const has = listCheckpoints(join(root, 'starved')).length > 0;
      const command = has ? ['resume', 'starved'] : ['train', '--config', 'starved.yaml'];
      const { status, stderr } = await after(sleep(500 + 2500 * random.uniform()), root, command, child =>
        allowMore(child.pid!, 4e6 * random.uniform()),
      );
      if (status === 0)
        rmSync(join(root, 'starved'), { recursive: true }); // what it had was enough: from the start again
      else ends++;
      expect(status, stderr).not.toBe(2); // it is no fault of the user's
    }
    expect(ends, 'times that memory ran out').toBe(wanted);
    const has = listCheckpoints(join(root, 'starved')).length > 0;
    const last = await runCommand(root, has ? ['resume', 'starved'] : ['train', '--config', 'starved.yaml']);
    expect(last.status, last.stderr).toBe(0);
    const whole = await runCommand(root, ['train', '--config', 'fed.yaml']);
    expect(whole.status, whole.stderr).toBe(0);
    expect(resultOf(join(root, 'starved'))).toEqual(resultOf(join(root, 'fed')));
  },
);

test.runIf(process.platform === 'linux')('text becomes tokens within 2 GB of addresses', () => {
  const main = join(packageRoot, 'dist/src/cli/main.js');
  for (const command of [
    'tokenizer train en.txt --vocab-size 270 --out small.json',
    'tokenize en.txt --tokenizer small.json --out small',
    'verify small',
  ]) {
    const limited = `ulimit -v 2000000; exec '${process.execPath}' '${main}' ${command}`;
    const { status, stderr } = spawnSync('bash', ['-c', limited], { cwd: root, encoding: 'utf8' });
    expect(status, stderr).toBe(0);
  }
});
