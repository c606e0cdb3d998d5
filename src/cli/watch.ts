/** The command `watch`: the report of runs while they go on. */
import { once } from 'node:events';
import { type Command, InvalidArgumentError } from 'commander';
import { serveWatch } from '../study/serve.js';
import { defineAction } from './command.js';
import { interruptible } from './interruption.js';
import { wholeNumber } from './numbers.js';

export function addWatchCommand(program: Command): void {
  const command = program
    .command('watch')
    .description('show a study, a run or a folder of runs in a browser while they go on')
    .argument('<dir>', 'folder of a study, of a run, or of several runs')
    .option('--port <port>', 'of the page on this machine; 0: one that is free', portNumber, 7860);
  defineAction<{ port: number }>(command, async (terminal, { port }, dir) => {
    const { url, close } = await serveWatch(dir!, port);
    terminal.print(`watching ${dir} at ${url} (Ctrl-C ends it)`);
    await interruptible(close, signal => once(signal, 'abort'));
    process.exitCode = 0; // the way to end it
    return { folder: dir, url };
  });
}

function portNumber(text: string): number {
  const port = wholeNumber(0)(text);
  if (port > 65535) throw new InvalidArgumentError('It must be at most 65535.');
  return port;
}
