/** How a command ends before its work does: by a signal, or because nobody takes its output. What it has is saved. */
import { constants } from 'node:os';
import { systemReason } from '../files.js';
import { isInSlurmJob } from '../study/slurm/in-job.js';

/** Takes an interruption, in place of the process's end. */
let interrupt: (() => void) | undefined;

/** Runs `body` with a signal that the first interruption aborts, after `onInterrupt`. A second one ends the process. */
export async function interruptible<Result>(
  onInterrupt: () => void,
  body: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const abort = new AbortController();
  interrupt = () => {
    onInterrupt();
    abort.abort();
  };
  try {
    return await body(abort.signal);
  } finally {
    interrupt = undefined;
  }
}

/** Ends what is interruptible, which saves what it has; if nothing is, calls `now`, which ends the process. */
function end(status: number, now: () => void): void {
  process.exitCode = status;
  const stop = interrupt ?? now;
  interrupt = undefined;
  stop();
}

/** Ends the process, or what is interruptible, as interrupted by a signal. */
function endBy(signal: NodeJS.Signals): void {
  const status = 128 + constants.signals[signal];
  end(status, () => {
    process.emit('exit', status); // what is half written is removed
    // not process.exit: if Node itself ends while a device is at work, it crashes
    process.removeAllListeners(signal);
    process.kill(process.pid, process.platform === 'win32' ? 'SIGKILL' : signal); // Windows sends no others to itself
  });
}

/** Lets signals end the process with the status that shells give to a process that a signal ended. */
export function endOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // a terminal that closes is no second interruption: shell, system and failed writes all tell of the same one
      const isTold = signal === 'SIGHUP' || (signal === 'SIGTERM' && isInSlurmJob());
      if (!isTold || !process.exitCode) endBy(signal);
    });
  }
}

/**
 * Takes a reader that left, such as `head` or a terminal that closed, for an interruption; a full device is a failure.
 */
export function endOnFailedWrites(): void {
  let isWritten = true;
  for (const [name, stream] of Object.entries({ output: process.stdout, error: process.stderr })) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (!isWritten || process.exitCode) return;
      isWritten = false;
      const isGone = error.code === 'EPIPE' || error.code === 'EIO';
      if (isGone) return endBy('SIGINT');
      process.stderr.write(`error: cannot write to standard ${name}: ${systemReason(error)}\n`);
      end(1, () => process.exit());
    });
  }
}
