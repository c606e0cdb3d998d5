import { resolve } from 'node:path';
import { freeFolder, runDemo } from '../demo/demo.js';
import type { CommandResult, Terminal } from './command.js';
import { comparisonTable } from './comparison.js';
import { interruptible } from './interruption.js';
import { observe } from './train.js';

/** The command `demo`. */
export async function demo(terminal: Terminal, options: { out?: string; adapter?: string }): Promise<CommandResult> {
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
}
