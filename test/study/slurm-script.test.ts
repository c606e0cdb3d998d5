/** The script of a job array, run by bash beside a fake Slurm: what it starts, and when it goes back into the queue. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { parseSlurm } from '../../src/study/slurm/options.js';
import { batchScript, quote, sbatchOptions } from '../../src/study/slurm/script.js';
import { FakeSlurm } from '../support/slurm.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-slurm-script-'));
afterAll(() => rmSync(root, { recursive: true }));
const slurm = new FakeSlurm(join(root, 'slurm'));
slurm.addCommand(
  'srun',
  `while [[ $1 == --* ]]; do shift; done
  echo $$ > "$FAKE_SLURM/step"
  exec "$@"`,
);
const folder = join(root, "it's a 100% study", 'array');
mkdirSync(folder, { recursive: true });
const array = { name: 'a', folder, study: "it's a study", count: 2 };
const RUN = `s-scratch-"fr" $HOME`;
writeFileSync(join(folder, 'runs.txt'), `other\n${RUN}\n`);
beforeEach(() => {
  slurm.reset();
  rmSync(join(folder, 'task-1.timeouts'), { force: true });
});

const started = join(root, 'started');

/** Stands for babelgrad: writes how it was started, then ends, or goes on until SIGTERM, of which it makes `onTerm`. */
function command({ ends = 'while :; do sleep 0.05; done', onTerm = 'echo saved; exit 143' }: Job): string {
  const program = join(root, 'program');
  const tell = `printf '%s\\n' "$MODULE" "$@" > ${started}.new; mv ${started}.new ${started}`;
  writeFileSync(program, `trap '${onTerm}' TERM\n${tell}\n${ends}\n`);
  return `bash ${quote(program)}`;
}

interface Job {
  readonly options?: Record<string, unknown>;
  readonly ends?: string;
  readonly onTerm?: string;
  /** The signal that Slurm sends to the shell (USR1), or to the run (TERM). */
  readonly signal?: 'USR1' | 'TERM';
}

/** Runs the script as task 1 of job 12, and sends a signal when its run has begun. */
async function runTask(job: Job): Promise<{ status: number | null; output: string }> {
  const { options = {}, signal } = job;
  rmSync(started, { force: true });
  const script = join(folder, 'job.sh');
  writeFileSync(script, batchScript(array, parseSlurm(options, 'slurm'), command(job)));
  const task = { SLURM_ARRAY_JOB_ID: '12', SLURM_ARRAY_TASK_ID: '1', SLURM_JOB_ID: '13', SLURM_CPUS_PER_TASK: '2' };
  const child = spawn('bash', [script], { env: { ...process.env, ...task } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', data => (output += data));
  const ended = new Promise<number | null>(resolve => child.on('close', resolve));
  if (signal) {
    const isStarted = () => existsSync(started);
    while (!isStarted() && child.exitCode === null) await new Promise(resolve => setTimeout(resolve, 10));
    if (signal === 'USR1') child.kill('SIGUSR1');
    else process.kill(Number(readFileSync(join(root, 'slurm', 'step'), 'utf8')), 'SIGTERM');
  }
  return { status: await ended, output };
}

test('starts the run of its line by its name, after the lines of setup, and ends with its status', async () => {
  const options = { setup: ['export MODULE="a module"'] };
  expect(await runTask({ options, ends: 'exit 0' })).toMatchObject({ status: 0 });
  expect(readFileSync(started, 'utf8')).toBe(`a module\nstudy\nresume\n${array.study}\n--run\n${RUN}\n`);
  const { status, output } = await runTask({ ends: 'exit 3' });
  expect([status, slurm.log()]).toEqual([3, []]);
  expect(output).toContain(`12_1 ${RUN}: starts on`);
});

test('a signal before the time limit saves a checkpoint and requeues the task, as often as is allowed', async () => {
  const options = { maxTimeouts: 2 };
  for (const timeouts of [0, 1]) {
    const { status, output } = await runTask({ options, signal: 'USR1' });
    expect(status).toBe(143);
    expect(output).toMatch(
      new RegExp(`of these for the time limit: ${timeouts}\n.*saved\n.*met its time limit and is`, 's'),
    );
  }
  const asked = ['scancel --signal=TERM 13', 'scontrol requeue 12_1'];
  expect(slurm.log()).toEqual([...asked, ...asked]);
  const last = await runTask({ options, signal: 'USR1' });
  expect([last.status, last.output]).toEqual([143, expect.stringMatching(/saved\n.*not requeued: maxTimeouts is 2/s)]);
  expect(slurm.log().filter(line => line.startsWith('scontrol'))).toHaveLength(2);
});

test('preemption requeues too, and is not counted', async () => {
  slurm.set('preempted', '2026-11-28T19:57:49');
  for (const signal of ['TERM', 'USR1'] as const) {
    const { status, output } = await runTask({ options: { maxTimeouts: 0 }, signal });
    expect([status, output]).toEqual([143, expect.stringMatching(/saved\n.*was preempted and is requeued/s)]);
  }
  expect(slurm.log().filter(line => line.startsWith('scontrol'))).toEqual(Array(2).fill('scontrol requeue 12_1'));
});

test('a task that is cancelled, whose run failed, or that may not is not requeued', async () => {
  expect((await runTask({ signal: 'TERM' })).status).toBe(143);
  expect((await runTask({ onTerm: 'exit 1', signal: 'USR1' })).status).toBe(1);
  slurm.set('preempted', '2026-11-28T19:57:49');
  const { status, output } = await runTask({ options: { requeue: false }, signal: 'USR1' });
  expect([status, output]).toEqual([143, expect.stringMatching(/saved/)]);
  expect(slurm.log().filter(line => line.startsWith('scontrol'))).toEqual([]);
});

test('percent signs in the path of the output are none of Slurm', () => {
  const options = sbatchOptions(array, parseSlurm({}, 'slurm'), '/work');
  expect(options).toContain(`--output=${folder.replace('100%', '100%%')}/task-%a.out`);
});
