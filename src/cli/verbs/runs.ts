/** The options of `adapters`, `demo`, `completion`, `report`, `watch` and `verify`. */
import { Argument, type Command, InvalidArgumentError } from 'commander';
import { defineAction, example, type Terminal } from '../command.js';
import { wholeNumber } from '../numbers.js';
import { adapterOption } from '../options.js';

export function describeAdapters(command: Command): void {
  command.option('--adapter <name>', "choose by a part of the name, or by number: '#2' (or set BABELGRAD_ADAPTER)");
  example(command, 'babelgrad adapters --adapter nvidia');
  defineAction(command, async () => (await import('../adapters.js')).adapters);
}

export function describeDemo(command: Command): void {
  command
    .option(
      '--out <folder>',
      'folder to make, or of a demo to go on with (default: runs/demo, or the next free number)',
    )
    .addOption(adapterOption());
  example(command, 'babelgrad demo --out runs/first');
  defineAction(command, async () => (await import('../demo.js')).demo);
}

export function describeCompletion(command: Command): void {
  command.addArgument(new Argument('<shell>', 'shell that the script is for').choices(['bash', 'zsh', 'fish']));
  example(command, 'babelgrad completion fish > ~/.config/fish/completions/babelgrad.fish');
  defineAction(command, async () => {
    const { completion } = await import('../completion.js');
    return async (terminal: Terminal, _: unknown, shell: 'bash' | 'zsh' | 'fish') =>
      completion(terminal, command.parent!, shell);
  });
}

export function describeReport(command: Command): void {
  command
    .argument('<runs...>', 'folders of runs')
    .option('--out <file>', 'where the page goes', 'report.html')
    .option('--title <title>', 'title of the page', 'Training report')
    .option('--source-language <name>', 'language of the source model, where its run is not to be found')
    .option('--csv <file>', 'where the metrics go too, a row for each step, evaluation and probe')
    .option('--tensorboard <folder>', 'where event files for TensorBoard go too, a folder for each run');
  example(command, 'babelgrad report runs/french runs/french-cpt --out report.html');
  defineAction(command, async () => (await import('../report.js')).report);
}

export function describeWatch(command: Command): void {
  command
    .argument('<dir>', 'folder of a study, of a run, or of several runs')
    .option('--port <port>', 'of the page on this machine; 0: one that is free', portNumber, 7860);
  example(command, 'babelgrad watch runs');
  defineAction(command, async () => (await import('../watch.js')).watch);
}

function portNumber(text: string): number {
  const port = wholeNumber(0)(text);
  if (port > 65535) throw new InvalidArgumentError('It must be at most 65535.');
  return port;
}

export function describeVerify(command: Command): void {
  command.argument('<paths...>', 'runs, checkpoints, model folders, data sets or studies');
  example(command, 'babelgrad verify runs/french data/fr');
  defineAction(command, async () => (await import('../verify.js')).verify);
}
