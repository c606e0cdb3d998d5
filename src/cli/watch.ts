/** The command `watch`: the report of runs while they go on. */
import { once } from 'node:events';
import { serveWatch } from '../study/serve.js';
import type { CommandResult, Terminal } from './command.js';
import { interruptible } from './interruption.js';

/** The command `watch`. */
export async function watch(terminal: Terminal, { port }: { port: number }, dir: string): Promise<CommandResult> {
  const { url, close } = await serveWatch(dir!, port);
  terminal.print(`watching ${dir} at ${url} (Ctrl-C ends it)`);
  await interruptible(close, signal => once(signal, 'abort'));
  process.exitCode = 0; // the way to end it
  return { folder: dir, url };
}
