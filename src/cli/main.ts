#!/usr/bin/env node
/** The command line. verbs/ says what a verb takes; a file a verb beside this one calls and prints. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import { failBeyondFileLimit, packageRoot } from '../files.js';
import { endIfHung } from '../gpu/hang.js';
import { reportError } from './command.js';
import { endOnFailedWrites, endOnSignals } from './interruption.js';
import { loadedProgram, makeProgram } from './program.js';

const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
// commander's own help command asks for the help of a verb without calling it, and a completion needs all verbs
const needsAll = ['help', 'completion'].includes(process.argv[2] ?? '');
const program = needsAll ? await loadedProgram(version) : makeProgram(version);

endOnSignals();
endOnFailedWrites();
failBeyondFileLimit();

const isJson = process.argv.includes('--json');
// such an error is thrown where nobody waits for it, as the loss of a claim is
process.on('uncaughtException', error => {
  reportError(error, isJson);
  process.exit();
});
try {
  await program.parseAsync();
} catch (error) {
  // commander has printed its message; help and version end with 0, everything else is bad usage
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2;
    if (error.exitCode !== 0 && isJson) process.stdout.write(`${JSON.stringify({ error: error.message })}\n`);
  } else reportError(error, isJson);
}
endIfHung();
