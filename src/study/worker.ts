/**
 * The child process of `inChildProcess`: it takes one task, starts or resumes its run, and tells its parent how it
 * goes.
 */
import { joinClaim } from '../claim.js';
import { messageOf, UserError } from '../errors.js';
import { cacheFolder, failBeyondFileLimit } from '../files.js';
import { endIfHung } from '../gpu/hang.js';
import { DivergedError, type TrainObserver } from '../run/context.js';
import { startOrResumeClaimed } from '../run/start.js';
import type { Execute, WorkerMessage, WorkerTask } from './execute.js';
import { isInSlurmJob } from './slurm/in-job.js';

/** Takes the run from where it is; the parent has claimed its folder, and this process keeps it if the parent dies. */
const inThisProcess: Execute = ({ folder, config, from }, { signal, onProgress, onNote }) => {
  joinClaim(folder);
  let steps = 0;
  const observer: TrainObserver = {
    onNote: text => onNote?.(text),
    onStart: run => {
      steps = run.steps;
    },
    onWarning: text => onNote?.(text),
    onStep: ({ step, tokens, loss, tokensPerSecond }) => onProgress?.({ step, steps, tokens, loss, tokensPerSecond }),
  };
  return startOrResumeClaimed({ ...config, out: folder }, { observer, signal, from, tune: { cache: cacheFolder() } });
};

/** Progress is told at most this often: the parent draws a bar. */
const PROGRESS_EVERY_MS = 250;

if (process.send) {
  const abort = new AbortController();
  // Ctrl-C and a terminal that closes reach the whole process group; the parent decides what it means
  process.on('SIGINT', () => {});
  process.on('SIGHUP', () => {});
  failBeyondFileLimit();
  process.on('SIGTERM', () => {
    // a second one, or the parent is gone, too
    if (abort.signal.aborted && !isInSlurmJob()) process.kill(process.pid, 'SIGKILL');
    abort.abort();
  });
  process.on('disconnect', () => abort.abort());
  process.on('message', (message: WorkerTask | 'stop') => {
    if (message === 'stop') abort.abort();
    else void work(message, abort.signal);
  });
}

async function work(task: WorkerTask, signal: AbortSignal): Promise<void> {
  const tell = (message: WorkerMessage) => {
    // a parent that has just gone is an error of sending, which must not end the run before its checkpoint
    if (process.connected) process.send!(message, () => {});
  };
  let told = 0;
  try {
    const summary = await inThisProcess(task, {
      signal,
      onNote: text => tell({ kind: 'note', text }),
      onProgress(progress) {
        if (performance.now() - told < PROGRESS_EVERY_MS) return;
        told = performance.now();
        tell({ kind: 'progress', ...progress });
      },
    });
    tell({ kind: 'end', summary });
  } catch (error) {
    const fault = error instanceof UserError ? 'user' : error instanceof DivergedError ? 'diverged' : 'other';
    tell({ kind: 'error', message: messageOf(error), fault });
  }
  if (process.connected) process.disconnect();
  endIfHung();
}
