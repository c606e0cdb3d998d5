/** Interrupted commands save what they have, and end with 128 + the signal's number. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { packageRoot } from '../../src/files.js';
import { tokenizeSample } from '../support/command.js';
import { sampleText } from '../support/text.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-interrupted-'));
afterAll(() => rmSync(root, { recursive: true }));

const training = [
  ...['--hidden-size', '32', '--intermediate-size', '48', '--num-hidden-layers', '1', '--num-attention-heads', '2'],
  ...['--source', 'en=en', '--context-length', '32', '--batch-tokens', '128', '--tokens', '1280000', '--deterministic'],
];

beforeAll(() => tokenizeSample(root), 60_000);

/** Runs the command, does `act` when stderr shows `shown`, and waits for the end; the status is the one of a shell. */
function interrupted(
  parameters: string[],
  shown: RegExp,
  act: (child: ChildProcess) => void,
  options: { readonly detached?: boolean; readonly env?: NodeJS.ProcessEnv } = {},
) {
  const program = join(packageRoot, 'dist/src/cli/main.js');
  const child = spawn(process.execPath, [program, ...parameters], { cwd: root, ...options });
  let [stdout, stderr] = ['', ''];
  let acted = false;
  child.stdout.on('data', text => {
    stdout += text;
  });
  child.stderr.on('data', text => {
    stderr += text;
    if (acted || !shown.test(stderr)) return;
    acted = true;
    act(child);
  });
  return new Promise<{ status: number | null; stdout: string; stderr: string }>(resolve => {
    child.on('close', (code, signal) => {
      resolve({ status: signal ? 128 + constants.signals[signal] : code, stdout, stderr });
    });
  });
}

test('train and resume', async () => {
  const first = await interrupted(['train', ...training, '--out', 'run', '--json'], /tokens\/s/, child =>
    child.kill('SIGINT'),
  );
  expect(first.status, first.stderr).toBe(130);
  const summary = JSON.parse(first.stdout) as { status: string; step: number };
  expect(summary.status).toBe('interrupted');
  const second = await interrupted(['resume', 'run'], /tokens\/s/, child => child.kill('SIGTERM'));
  expect(second.status, second.stderr).toBe(143);
  const [, step] = /interrupted at step (\d+) of 10000/.exec(second.stdout)!;
  expect(Number(step)).toBeGreaterThan(summary.step);
}, 60_000);

test('a second signal ends it at once, without a crash', async () => {
  const { status, stderr } = await interrupted(['train', ...training, '--out', 'twice'], /tokens\/s/, child => {
    child.kill('SIGINT');
    child.stderr!.once('data', () => child.kill('SIGTERM')); // sent together they may arrive in either order
  });
  expect(status, stderr).toBe(143);
  expect(readdirSync(join(root, 'twice'))).not.toContain('claim');
}, 60_000);

test('a terminal that closes, which is told more than once', async () => {
  const { status, stderr } = await interrupted(['train', ...training, '--out', 'closed'], /tokens\/s/, child => {
    child.kill('SIGHUP');
    child.stderr!.once('data', () => child.kill('SIGHUP')); // it says that it stops, and is not done
    child.stdout!.destroy();
  });
  expect(status, stderr).toBe(129);
  expect(readdirSync(join(root, 'closed', 'checkpoints')).at(-1)).not.toBe('step-00000000');
}, 60_000);

test('a study in a job of Slurm, whose processes are all told twice', async () => {
  const train = { contextLength: 32, batchTokens: 128, tokens: 1_280_000, deterministic: true };
  const model = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 };
  const sizes = [{ name: 's', ...model }];
  const study = { name: 'job', out: 'job', languages: { en: 'en' }, strategies: ['scratch'], sizes };
  writeFileSync(join(root, 'job.yaml'), JSON.stringify({ ...study, train }));
  const { status, stderr } = await interrupted(
    ['study', 'run', 'job.yaml'],
    /tokens\/s/,
    child => {
      process.kill(-child.pid!, 'SIGTERM');
      child.stderr!.once('data', () => process.kill(-child.pid!, 'SIGTERM'));
    },
    { detached: true, env: { ...process.env, SLURM_JOB_ID: '1' } },
  );
  expect(status, stderr).toBe(143);
  expect(stderr).toMatch(/s-scratch-en: interrupted/);
  const checkpoints = readdirSync(join(root, 'job', 'runs', 's-scratch-en', 'checkpoints'));
  expect(checkpoints.at(-1)).not.toBe('step-00000000');
}, 60_000);

test('demo, which goes on from what is there', async () => {
  const stop = () => interrupted(['demo', '--out', 'demo'], /tokens\/s/, child => child.kill('SIGINT'));
  const steps = () => readdirSync(join(root, 'demo', 'english', 'checkpoints'));
  const first = await stop();
  expect(first.stderr).toContain('go on with: babelgrad demo --out demo');
  expect(first.status).toBe(130);
  const madeAt = () => ['tokenizer.json', 'data/en', 'data/fr'].map(path => statSync(join(root, 'demo', path)).mtimeMs);
  const [made, kept] = [madeAt(), steps()];
  const second = await stop();
  expect(second.status, second.stderr).toBe(130);
  expect(madeAt()).toEqual(made);
  expect(steps()).toHaveLength(1);
  expect(steps()[0]! > kept[0]!, `${kept} ${steps()}`).toBe(true);
}, 120_000);

test('tokenize, which leaves nothing half written', async () => {
  writeFileSync(join(root, 'long.txt'), sampleText(0, 4000).repeat(500));
  const { status, stderr } = await interrupted(
    ['tokenize', 'long.txt', '--tokenizer', 'tokenizer.json', '--out', 'long'],
    /bytes/,
    child => child.kill('SIGINT'),
  );
  expect(status, stderr).toBe(130);
  expect(readdirSync(root).filter(name => name.startsWith('long'))).toEqual(['long.txt']);
}, 60_000);

test('tune lr', async () => {
  const sweep = ['tune', 'lr', ...training, '--learning-rate', '0.01', '--out', 'swept'];
  const { status, stdout, stderr } = await interrupted(sweep, /tokens\/s/, child => child.kill('SIGINT'));
  expect(status, stderr).toBe(130);
  expect(stderr).toContain('stopping after this step, with a checkpoint');
  expect(stdout).toBe('go on with the same command\n');
  const saved = readdirSync(join(root, 'swept', 'runs', 'lr-0.01-seed-0', 'checkpoints'));
  expect(saved.at(-1)).not.toBe('step-00000000');
  expect(existsSync(join(root, 'swept', 'claim'))).toBe(false);
});

test('tune', async () => {
  const { status, stderr } = await interrupted(['tune', '--preset', 'tiny'], /seconds/, child => child.kill('SIGTERM'));
  expect(status, stderr).toBe(143);
}, 60_000);

test('the trial of a tokenizer does not hold up a signal, and ends with the command', async () => {
  const file = JSON.parse(readFileSync(join(root, 'tokenizer.json'), 'utf8')) as object;
  writeFileSync(join(root, 'foreign.json'), JSON.stringify({ ...file, normalizer: { type: 'NFC' } })); // it is tried
  const program = join(packageRoot, 'dist/src/cli/main.js');
  const parameters = ['tokenize', 'en.txt', '--tokenizer', 'foreign.json', '--out', 'tried'];
  const command = spawn(process.execPath, [program, ...parameters], { cwd: root });
  const children = `/proc/${command.pid}/task/${command.pid}/children`;
  const ended = new Promise<string | null>(resolve => command.on('close', (_, signal) => resolve(signal)));
  let trial = 0;
  while (trial === 0 && command.exitCode === null) {
    await new Promise(resolve => setTimeout(resolve, 5));
    trial = Number(readFileSync(children, 'utf8').split(' ')[0]);
  }
  process.kill(trial, 'SIGSTOP'); // it would take its 30 seconds
  command.kill('SIGTERM');
  await vi.waitFor(() => expect(command.signalCode).toBe('SIGTERM'), 10_000);
  process.kill(trial, 'SIGCONT');
  await vi.waitFor(() => expect(existsSync(`/proc/${trial}`)).toBe(false), 10_000);
  expect(await ended).toBe('SIGTERM');
}, 60_000);
