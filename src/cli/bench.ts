/** `bench`: how fast this adapter is at matrix products and at a whole training step. */
import Table from 'cli-table3';
import type { Command } from 'commander';
import { median, quantile } from '../../bench/measure.js';
import { gflopsAt, runBenchmark, WORKS } from '../../bench/run.js';
import { writeFileWhole } from '../files.js';
import { openDevice } from '../index.js';
import { percent } from '../report/words.js';
import { defineAction } from './command.js';
import { positiveNumber, wholeNumber } from './numbers.js';

interface BenchOptions {
  rounds: number;
  seconds: number;
  out?: string;
  adapter?: string;
}

export function addBenchCommand(program: Command): void {
  const command = program
    .command('bench')
    .description('measure matrix products and a whole training step, interleaved in one run')
    .option('--rounds <count>', 'rounds over all works', wholeNumber(1), 5)
    .option('--seconds <seconds>', 'time for each work in each round, about', positiveNumber, 1)
    .option('--out <file>', 'where to write machine, versions and all samples, as JSON')
    .option('--adapter <name>', 'adapter, by a part of its name');
  defineAction<BenchOptions>(command, async (terminal, { rounds, seconds, out, adapter }) => {
    const device = await openDevice({ adapter });
    try {
      terminal.note(`adapter: ${device.adapter.name} (${device.adapter.driver})`);
      const progress = terminal.progress('bench', WORKS * rounds, 'measurements');
      const result = await runBenchmark(device, {
        rounds,
        seconds,
        onProgress: (done, work) => progress.update(done, work),
      }).finally(() => progress.stop());
      if (out) writeFileWhole(out, `${JSON.stringify(result, null, 1)}\n`);

      const { samples, step, bestMatmul, stepOverMatmul } = result;
      const head = ['work', 'GFLOP/s', 'ms', 'GPU ms', 'IQR', 'samples'];
      const table = new Table({
        head,
        colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')),
        style: { head: [], border: [], compact: true },
      });
      for (const { name, flops, wall, gpu } of samples) {
        const middle = median(wall);
        const spread = percent((quantile(wall, 0.75) - quantile(wall, 0.25)) / middle);
        table.push([
          name,
          gflopsAt(flops, wall).toFixed(1),
          middle.toFixed(2),
          median(gpu).toFixed(2),
          spread,
          wall.length,
        ]);
      }
      terminal.print(table.toString());
      terminal.print(
        `step: ${step.tokensPerSecond.toFixed(0)} tokens/s, ${step.gflops.toFixed(1)} GFLOP/s, which is ` +
          `${stepOverMatmul.toFixed(2)} of the best matrix product's ${bestMatmul.gflops.toFixed(1)} (${bestMatmul.name})`,
      );
      terminal.print(
        `host: ${step.submitMilliseconds.toFixed(1)} ms to submit ${step.dispatches} dispatches; all but the GPU's ` +
          `dispatches take ${(100 * step.hostShare).toFixed(1)}% of a step`,
      );
      if (out) terminal.print(`samples: ${out}`);
      return { ...result };
    } finally {
      device.close();
    }
  });
}
