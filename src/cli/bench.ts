/** `bench`: how fast this adapter is at the engine's kernels and at a training step, and how fast others are on it. */
import type { Command } from 'commander';
import { describeWorks, select } from '../../bench/catalogue.js';
import { countWorks, runBenchmark } from '../../bench/run.js';
import { scalingBars, summarise } from '../../bench/summary.js';
import { BAR_HEAD, barRow, STEP_HEAD, stepRow, textTable, WORK_HEAD, workRow } from '../../bench/table.js';
import { openDevice } from '../index.js';
import { defineAction } from './command.js';
import { positiveNumber, wholeNumber } from './numbers.js';

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
    .option('--adapter <name>', 'adapter, by a part of its name')
    .addHelpText(
      'after',
      `\nWorks:\n${describeWorks()
        .map(line => `  ${line}`)
        .join('\n')}`,
    );
  defineAction<BenchOptions, [string[]]>(command, async (terminal, options, names) => {
    const { works } = select(names, options.size);
    const device = await openDevice({ adapter: options.adapter });
    try {
      terminal.note(`adapter: ${device.adapter.name} (${device.adapter.driver})`);
      const progress = terminal.progress('bench', countWorks(works) * options.rounds, 'measurements');
      const result = await runBenchmark(device, works, {
        rounds: options.rounds,
        seconds: options.seconds,
        onPrepare: (index, count) => progress.update(0, `checking ${index + 1} of ${count}`),
        onProgress: (done, work) => progress.update(done, work),
      }).finally(() => progress.stop());
      const summary = summarise(result.samples);
      const bars = scalingBars(result.samples, result.steps);
      terminal.print(textTable(WORK_HEAD, summary.map(workRow)));
      if (result.steps.length > 0) terminal.print(textTable(STEP_HEAD, result.steps.map(stepRow)));
      if (bars.length > 0) terminal.print(textTable(BAR_HEAD, bars.map(barRow)));
      return { ...result, summary, bars };
    } finally {
      device.close();
    }
  });
}

/** Whole numbers above 0 with commas between. */
function sizes(text: string): number[] {
  return text.split(',').map(wholeNumber(1));
}
