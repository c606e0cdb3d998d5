/** Runs one run of a study in a process of its own, so that a crash of a driver ends that run and nothing else. */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { UserError } from '../errors.js';
import type { RunConfig } from '../run/config.js';
import { DivergedError, type RunSummary } from '../run/context.js';

/** The task that a worker is given. */
export interface WorkerTask {
  readonly folder: string;
  readonly config: RunConfig;
  readonly from?: string | undefined;
}

/** How far a run is. */
export interface RunProgress {
  readonly step: number;
  readonly steps: number;
  readonly tokens: number;
  readonly loss: number | null;
  readonly tokensPerSecond: number;
}

/** What a worker tells its parent. */
export type WorkerMessage =
  | ({ readonly kind: 'progress' } & RunProgress)
  | { readonly kind: 'note'; readonly text: string }
  | { readonly kind: 'end'; readonly summary: RunSummary }
  | { readonly kind: 'error'; readonly message: string; readonly fault: 'user' | 'diverged' | 'other' };

export interface ExecuteOptions {
  /** Aborting this signal ends the run after its current step, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
  onProgress?(progress: RunProgress): void;
  onNote?(text: string): void;
}

/** What a worker's error is thrown as. */
const ERRORS = { user: UserError, diverged: DivergedError, other: Error } as const;

/** Starts a run, or goes on with it. @throws whatever ended the run. */
export type Execute = (task: WorkerTask, options: ExecuteOptions) => Promise<RunSummary>;

/** Returns what a process wrote of its end: Dawn warns of limits when it starts, which is no reason. */
const reasonIn = (errors: string): string =>
  errors
    .replace(/^Warning: .*$/gm, '')
    .trim()
    .replaceAll(/\n+/g, '\n') || 'no message';

/** Executes in a child process. A run that is aborted ends with a checkpoint, and so does one whose parent is gone. */
export const inChildProcess: Execute = (task, { signal, onProgress, onNote }) =>
  new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, 'worker.js'), { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    let errors = '';
    child.stderr!.on('data', (data: Buffer) => {
      errors = (errors + data.toString()).slice(-2000);
    });
    const stop = () => void child.send('stop', () => {});
    signal?.addEventListener('abort', stop);
    let outcome: (() => void) | undefined;
    child.on('message', (message: WorkerMessage) => {
      if (message.kind === 'progress') onProgress?.(message);
      else if (message.kind === 'note') onNote?.(message.text);
      else if (message.kind === 'end') outcome = () => resolve(message.summary);
      else outcome = () => reject(new ERRORS[message.fault](message.message));
    });
    child.on('error', error => reject(error));
    child.on('close', (code, killedBy) => {
      signal?.removeEventListener('abort', stop);
      if (outcome) outcome();
      else reject(new Error(`its process ended (${killedBy ?? `status ${code}`}): ${reasonIn(errors)}`));
    });
    child.send(task);
    if (signal?.aborted) stop();
  });
