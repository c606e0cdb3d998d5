import { resolve } from 'node:path';
import type { Command } from 'commander';
import { freeFolder, runDemo } from '../demo/demo.js';
import { UserError } from '../errors.js';
import { defineAction } from './command.js';
import { comparisonTable } from './comparison.js';
import { observe } from './train.js';

/** `demo` */
export function addDemoCommand(program: Command): void {
  const command = program
    .command('demo')
    .description('English, then French from scratch and by continual pre-training, in a few minutes on a CPU')
    .option('--out <folder>', 'folder to make (default: runs/demo, or the next free number)')
    .option('--adapter <name>', 'adapter, by a part of its name');
  defineAction<{ out?: string; adapter?: string }>(command, async (terminal, options) => {
    const out = options.out ?? freeFolder('runs/demo');
    const abort = new AbortController();
    process.once('SIGINT', () => abort.abort(new UserError(`the demo was stopped; '${out}' holds what was done`)));
    let stop = () => {};
    const started = Date.now();
    try {
      const { runs, comparisons, report } = await runDemo({
        out,
        adapter: options.adapter,
        signal: abort.signal,
        onStage(stage) {
          stop();
          if (stage === 'data') terminal.note(`data: tokenizer and shards from the text sample, into ${out}`);
          const shown = observe(terminal);
          stop = shown.stop;
          return shown.observer;
        },
      });
      stop();
      terminal.print(comparisonTable(runs));
      terminal.print(`report: ${resolve(report)}`);
      const [comparison] = comparisons;
      return { out, report: resolve(report), seconds: (Date.now() - started) / 1000, savings: comparison?.savings };
    } finally {
      stop();
    }
  });
}
