/** Processes of the command line that are ended from outside, at times of one's choice. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { packageRoot } from '../../src/files.js';
import { runCommand } from '../support/command.js';
import { sampleText } from '../support/text.js';

export const isLong = process.env.BABELGRAD_FAULTS === 'long';
export const seed = Number(process.env.BABELGRAD_FAULTS_SEED ?? (isLong ? Date.now() % 1e6 : 1));

const main = join(packageRoot, 'dist/src/cli/main.js');

export interface Ended {
  /** The status as a shell has it: 128 + the number of the signal that ended it. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the command line in a process group of its own, so that all of it can be killed. */
export function startCommand(cwd: string, parameters: readonly string[], environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [main, ...parameters], {
    cwd,
    detached: true,
    env: { ...process.env, ...environment },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', text => {
    stdout += text;
  });
  child.stderr.on('data', text => {
    stderr += text;
  });
  const ended = new Promise<Ended>(resolve => {
    child.on('close', (code, signal) =>
      resolve({ status: signal ? 128 + constants.signals[signal] : code, stdout, stderr }),
    );
  });
  return { child, ended };
}

/** Runs the command and does `act` when it is time, unless it has ended. @returns how it ended. */
export async function after(
  time: Promise<void>,
  cwd: string,
  parameters: readonly string[],
  act: (child: ChildProcess) => void,
): Promise<Ended> {
  const { child, ended } = startCommand(cwd, parameters);
  await Promise.race([ended, time]);
  if (child.exitCode === null && child.signalCode === null) act(child);
  return ended;
}

export const killGroup = ({ pid }: ChildProcess): boolean => process.kill(-pid!, 'SIGKILL');

/** Makes the tokens of two languages in a folder: en, fr. */
export async function tokenizeLanguages(cwd: string): Promise<void> {
  for (const [i, language] of ['en', 'fr'].entries()) writeFileSync(join(cwd, `${language}.txt`), sampleText(i, 4000));
  const commands = [
    ['tokenizer', 'train', 'en.txt', 'fr.txt', '--vocab-size', '280', '--out', 'tokenizer.json'],
    ...['en', 'fr'].map(language => [
      ...['tokenize', `${language}.txt`, '--tokenizer', 'tokenizer.json', '--out', language],
      ...['--held-out-tokens', '300'],
    ]),
  ];
  for (const command of commands) {
    const { status, stderr } = await runCommand(cwd, command);
    expect(status, stderr).toBe(0);
  }
}

const lastCheckpoint = (run: string): string => {
  const checkpoints = join(run, 'checkpoints');
  return join(checkpoints, readdirSync(checkpoints).sort().at(-1)!);
};

/** What a run has come to: the bytes of weights and moments, and what it said of its steps, but for their speed. */
export function resultOf(run: string) {
  const read = (file: string) => readFileSync(join(lastCheckpoint(run), file)).toString('base64');
  const metrics = readFileSync(join(run, 'metrics.jsonl'), 'utf8').replaceAll(/,"tokensPerSecond":\d+/g, '');
  return { weights: read('model.safetensors'), moments: read('optimizer.safetensors'), metrics };
}
