/** Ends this process when it hangs: a loop without an end lets no timer run, so that a thread looks at the clock. */
import { Worker } from 'node:worker_threads';

const PROGRAM = `
  const { workerData: { beats, seconds, file } } = require('node:worker_threads');
  const { readFileSync, writeSync } = require('node:fs');
  let seen = -1, since = Date.now();
  setInterval(() => {
    const now = Atomics.load(beats, 0);
    if (now !== seen) { seen = now; since = Date.now(); return; }
    if (Date.now() - since < 1000 * seconds) return;
    writeSync(2, '\\nnot done after ' + seconds + ' s with ' + readFileSync(file, 'utf8') + '\\n');
    process.kill(process.pid, 'SIGKILL');
  }, 500);`;

/**
 * Starts watching. `beat` says that the next input begins.
 * @param file what is shown when the process hangs: it names the input.
 */
export function watchdog(
  seconds: number,
  file: string,
): { readonly beat: () => void; readonly stop: () => Promise<void> } {
  const beats = new Int32Array(new SharedArrayBuffer(4));
  const thread = new Worker(PROGRAM, { eval: true, workerData: { beats, seconds, file } });
  return {
    beat: () => void Atomics.add(beats, 0, 1),
    stop: async () => void (await thread.terminate()),
  };
}
