#!/usr/bin/env node
/** The command line: one verb per file; each parses, calls and prints. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { failBeyondFileLimit, packageRoot } from '../files.js';
import { endIfHung } from '../gpu/hang.js';
import { addAdaptersCommand } from './adapters.js';
import { addAuditCommand } from './audit.js';
import { addBenchCommand } from './bench.js';
import { reportError } from './command.js';
import { addDemoCommand } from './demo.js';
import { addEvalCommand } from './eval.js';
import { addExportCommand } from './export.js';
import { addFitCommand } from './fit.js';
import { addGenerateCommand } from './generate.js';
import { endOnFailedWrites, endOnSignals } from './interruption.js';
import { addMergeCommand } from './merge.js';
import { addPlanCommand } from './plan.js';
import { addProfileCommand } from './profile.js';
import { addReportCommand } from './report.js';
import { addStudyCommand } from './study.js';
import { addTokenizeCommand, addTokenizerCommand } from './tokenizer.js';
import { addTrainCommands } from './train.js';
import { addTuneCommand } from './tune.js';
import { addVerifyCommand } from './verify.js';
import { addVocabCommand } from './vocab.js';
import { addWatchCommand } from './watch.js';

const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
const program = new Command('babelgrad')
  .description('Train LLaMA-architecture language models on any GPU, from scratch and by continual pre-training')
  .version(version)
  .showHelpAfterError('(add --help for the options)')
  .exitOverride();

const commands = [
  addDemoCommand,
  addAdaptersCommand,
  addTokenizerCommand,
  addTokenizeCommand,
  addVocabCommand,
  addTuneCommand,
  addTrainCommands,
  addEvalCommand,
  addExportCommand,
  addMergeCommand,
  addGenerateCommand,
  addReportCommand,
  addStudyCommand,
  addWatchCommand,
  addVerifyCommand,
  addFitCommand,
  addPlanCommand,
  addBenchCommand,
  addProfileCommand,
  addAuditCommand,
];
for (const add of commands) add(program);
for (const command of [...program.commands, ...program.commands.flatMap(({ commands }) => commands)]) {
  command.exitOverride().showHelpAfterError('(add --help for the options)');
}

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
