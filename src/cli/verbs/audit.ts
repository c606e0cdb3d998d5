/** The options of the commands of `audit`. */
import { Argument, type Command, Option } from 'commander';
import { GPUS } from '../../compile/gpus.js';
import { UserError } from '../../errors.js';
import { defineAction, example } from '../command.js';
import { addFieldOptions, STEP_FIELDS } from '../field-flags.js';
import { addLimitOptions } from '../health.js';
import { positiveNumber, wholeNumber } from '../numbers.js';
import { adapterOption } from '../options.js';

export function describeAudit(group: Command): void {
  addKernels(group);
  addCompare(group);
  addRun(group);
  addReplay(group);
  addCompile(group);
}

function addKernels(group: Command): void {
  const command = group
    .command('kernels')
    .description('every kernel against float64, within derived bounds, and what it does to memory')
    .argument('[names...]', 'kernels, or families of them (default: all)')
    .addOption(adapterOption())
    .option('--quick', 'fewer shapes and inputs')
    .option('--out <folder>', 'write audit.json, audit.html, and for replay the worst inputs and those that failed');
  example(command, 'babelgrad audit kernels --quick --out audits/here');
  defineAction(command, async () => (await import('../audit.js')).auditKernels);
}

function addCompare(group: Command): void {
  const command = group
    .command('compare')
    .description('what differs between two audits: adapters, or versions of the project')
    .argument('<a>', 'audit.json')
    .argument('<b>', 'audit.json');
  example(command, 'babelgrad audit compare audits/here/audit.json audits/there/audit.json');
  defineAction(command, async () => (await import('../audit.js')).auditCompare);
}

function addRun(group: Command): void {
  const command = group
    .command('run')
    .description('the health of a run, from what it wrote; or how two ways of computing it come apart')
    .argument('<run>', 'folder of the run')
    .optionsGroup('Drift:')
    .option(
      '--drift <other>',
      'train on for some steps, in f32 and in another way: f16, float64, or the name of an adapter',
    )
    .option('--steps <count>', 'of the drift', wholeNumber(1), 10)
    .addOption(adapterOption())
    .optionsGroup('Thresholds:')
    .option('--loss-spike <times>', 'warn of a loss this many times the median before it', positiveNumber, 1.5);
  addLimitOptions(command, '');
  example(command, 'babelgrad audit run runs/french --drift f16');
  defineAction(command, async () => (await import('../audit.js')).auditRun);
}

function addReplay(group: Command): void {
  const command = group
    .command('replay')
    .description('run the input of a file again: a problem of an audit, or an op that a run stopped at')
    .argument('<file>', 'written by an audit, or by a run that met a value that is not finite')
    .addOption(adapterOption());
  example(command, 'babelgrad audit replay audits/here/matmul.problem');
  defineAction(command, async () => (await import('../audit.js')).auditReplay);
}

function addCompile(group: Command): void {
  const names = Object.entries(GPUS).map(([name, what]) => `${name} (${what})`);
  const command = group
    .command('compile')
    .description("what the driver's compiler makes of the kernels: registers, spills, the hot loop; nothing runs")
    .addArgument(new Argument('[names...]', 'kernels, by the beginning of their names').default([], 'all'))
    .addOption(
      new Option('--gpu <name>', `a GPU that need not be here, by Mesa's compiler for it: ${names.join(', ')}; repeat`)
        .choices(Object.keys(GPUS))
        .argParser(collectGpu)
        .default([], "this machine's GPU"),
    )
    .option('--adapter <name>', 'adapter of this machine, by a part of its name, its number, pci: or uuid:')
    .option('--markdown', 'print one table of all GPUs in Markdown')
    .optionsGroup('The model whose kernels are meant:')
    .option(
      '--config <file>',
      'YAML file of a run, whose model is compiled; flags win over it (default: a small model)',
    );
  addFieldOptions(command, STEP_FIELDS);
  example(command, 'babelgrad audit compile matmul --gpu navi31 --preset small');
  defineAction(command, async () => (await import('../audit-compile.js')).auditCompile);
}

function collectGpu(name: string, earlier: readonly string[]): string[] {
  if (!(name in GPUS)) throw new UserError(`there is no GPU '${name}'; --gpu takes ${Object.keys(GPUS).join(', ')}`);
  return [...earlier, name];
}
