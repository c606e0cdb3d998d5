/** A rank that dies or hangs ends the job within a minute, and the run goes on from its last checkpoint. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { runCommand, tokenizeSample } from '../support/command.js';
import { OPEN_MPI, processesOf, startJob, withoutMpi } from '../support/mpi.js';

const cwd = mkdtempSync(join(tmpdir(), 'babelgrad-mpi-'));
const train = (out: string) => [
  ...['train', '--source', 'en=en', '--out', out, '--hidden-size', '32', '--intermediate-size', '48'],
  ...['--num-hidden-layers', '1', '--num-attention-heads', '2', '--context-length', '32', '--batch-tokens', '256'],
  ...['--tokens', '2_560_000', '--checkpoint-every-tokens', '5120', '--eval-tokens', '256', '--deterministic'],
];

/** Waits until the run has written a checkpoint beyond its first. */
async function checkpointed(run: string): Promise<void> {
  for (let waited = 0; waited < 60_000; waited += 100) {
    if (listCheckpoints(join(cwd, run)).some(({ step }) => step > 0)) return;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  throw new Error('the run wrote no checkpoint within a minute');
}

async function disturb(run: string, signal: NodeJS.Signals) {
  const { child, ended } = startJob(cwd, 2, train(run));
  await checkpointed(run);
  const started = performance.now();
  process.kill(processesOf(child.pid!)[1]!, signal);
  const { status, stderr } = await ended;
  expect(performance.now() - started).toBeLessThan(60_000);
  expect(status).not.toBe(0);
  const [first] = listCheckpoints(join(cwd, run)).slice(-1);
  const verified = await runCommand(cwd, ['verify', first!.folder]);
  expect(verified.status, verified.stderr).toBe(0);
  return stderr;
}

describe.skipIf(OPEN_MPI === undefined)(`a rank${withoutMpi}`, () => {
  beforeAll(() => tokenizeSample(cwd));
  afterAll(() => rmSync(cwd, { recursive: true }));

  test('that is killed ends the job', async () => {
    expect(await disturb('killed', 'SIGKILL')).toMatch(/rank 1 .*signal 9/);
  });

  test('that hangs is named by its neighbour', async () => {
    expect(await disturb('stopped', 'SIGSTOP')).toMatch(
      /error: rank 1 has not been heard of for 30 s: .*; the checkpoint of step \d+ is whole; go on with/,
    );
  });

  test('is told to stop with all others, which save one checkpoint', async () => {
    const { child, ended } = startJob(cwd, 2, train('interrupted'));
    await checkpointed('interrupted');
    process.kill(processesOf(child.pid!)[1]!, 'SIGTERM'); // rank 1 alone
    const { stderr } = await ended;
    expect(stderr).not.toContain('error:');
    const { step } = listCheckpoints(join(cwd, 'interrupted')).at(-1)!;
    expect(step).toBeGreaterThan(20);
  });
});
