/**
 * The command `bench`: how fast this adapter is at the engine's kernels and at a training step, and how fast others are
 * on it.
 */
import type { Command } from 'commander';
import { benchmark } from '../../bench/benchmark.js';
import { describeWorks, select } from '../../bench/catalogue.js';
import { softwareNote } from '../../bench/page.js';
import { BAR_HEAD, barRow, PEER_HEAD, peerRow, STEP_HEAD, stepRow, WORK_HEAD, workRow } from '../../bench/table.js';
import { checkResultPlace, writeResult } from '../../bench/write.js';
import { defineAction } from './command.js';
import { positiveNumber, wholeNumber } from './numbers.js';
import type { Progress } from './progress.js';
import { textTable } from './table.js';

interface BenchOptions {
  rounds: number;
  seconds: number;
  size?: number[];
  out?: string;
  adapter?: string;
}

export function addBenchCommand(program: Command): void {
  const command = program
    .command('bench')
    .description("measure kernels and training steps against the adapter's own ceilings, and against other engines")
    .argument('[works...]', 'what to measure')
    .option('--size <sizes>', 'sizes of a single work, with commas between', sizes)
    .option('--rounds <count>', 'rounds over all works', wholeNumber(1), 5)
    .option('--seconds <seconds>', 'time for each work in each round, about', positiveNumber, 0.5)
    .option('--out <file or folder>', 'where to write all samples (benchmark.json) and a page (benchmark.html)')
    .option('--adapter <name>', 'adapter, by a part of its name or its number')
    .addHelpText(
      'after',
      `\nWorks:\n${describeWorks()
        .map(line => `  ${line}`)
        .join('\n')}`,
    );
  defineAction<BenchOptions, [string[]]>(command, async (terminal, options, names) => {
    const selection = select(names, options.size);
    const { rounds, seconds, adapter, out } = options;
    if (out) checkResultPlace(out);
    let progress: Progress | undefined;
    const result = await benchmark(selection, {
      adapter,
      rounds,
      seconds,
      onAdapter: ({ name, driver }) => terminal.note(`adapter: ${name} (${driver})`),
      onProgress(done, total, details) {
        // kernels and peers count apart
        if (done === 0 || !progress) {
          progress?.stop();
          progress = terminal.progress('bench', total, 'measurements');
        }
        progress.update(done, details);
      },
    }).finally(() => progress?.stop());

    terminal.print(textTable(WORK_HEAD, result.summary.map(workRow)));
    if (result.steps.length > 0) terminal.print(textTable(STEP_HEAD, result.steps.map(stepRow)));
    if (result.peers) {
      const rows = result.peers.works.flatMap(work => work.rows.map(row => peerRow(work, row)));
      terminal.print(textTable(PEER_HEAD, rows));
      for (const { name, handicap } of result.peers.engines) if (handicap) terminal.print(`${name}: ${handicap}`);
    }
    if (result.bars.length > 0) terminal.print(textTable(BAR_HEAD, result.bars.map(barRow)));
    for (const reason of result.skipped) terminal.print(`skipped: ${reason}`);
    const note = softwareNote(result);
    if (note) terminal.print(note);
    if (out) for (const file of writeResult(out, result)) terminal.print(`written: ${file}`);
    return { ...result };
  });
}

/** Parses whole numbers above 0 with commas between. */
function sizes(text: string): number[] {
  return text.split(',').map(wholeNumber(1));
}
