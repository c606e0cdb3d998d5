import { resolve } from 'node:path';
import type { Command } from 'commander';
import { freeFolder, runDemo } from '../demo/demo.js';
import { defineAction } from './command.js';
import { comparisonTable } from './comparison.js';
import { interruptible } from './interruption.js';
import { observe } from './train.js';

/** Adds the command `demo`. */
export function addDemoCommand(program: Command): void {
  const command = program
    .command('demo')
    .description('English, then French from scratch and by continual pre-training, in a few minutes on a CPU')
    .option(
      '--out <folder>',
      'folder to make, or of a demo to go on with (default: runs/demo, or the next free number)',
    )
    .option('--adapter <name>', 'adapter, by a part of its name or its number');
  defineAction<{ out?: string; adapter?: string }>(command, async (terminal, options) => {
    const out = options.out ?? freeFolder('runs/demo');
    let stop = () => {};
    const started = Date.now();
    const onInterrupt = () => {
      stop();
      terminal.note(`stopping after this step; go on with: babelgrad demo --out ${out}`);
    };
    const onStage = (stage: string) => {
      stop();
      if (stage === 'data') terminal.note(`data: tokenizer and shards from the text sample, into ${out}`);
      const shown = observe(terminal);
      stop = shown.stop;
      return shown.observer;
    };
    const { adapter } = options;
    const result = await interruptible(onInterrupt, signal => runDemo({ out, adapter, signal, onStage })).finally(() =>
      stop(),
    );
    if (!result) return { status: 'interrupted', out };
    const { runs, comparisons, report } = result;
    terminal.print(comparisonTable(runs));
    terminal.print(`report: ${resolve(report)}`);
    const [comparison] = comparisons;
    const seconds = (Date.now() - started) / 1000;
    return { out, report: resolve(report), seconds, savings: comparison?.savings };
  });
}
