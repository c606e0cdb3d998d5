import { type Command, InvalidArgumentError, Option } from 'commander';
import { UserError } from '../errors.js';
import { cacheFolder } from '../files.js';
import {
  dryRun,
  parseConfig,
  type ResumeOptions,
  type RunConfig,
  type RunOptions,
  type RunSummary,
  readRun,
  readYaml,
  resumeRun,
  startRun,
  type TrainObserver,
} from '../index.js';
import { short, showLosses } from '../report/numbers.js';
import { probeFindings } from '../report/probes.js';
import { configFields, defaultOf, type FieldName } from '../run/config.js';
import { HANG_SECONDS } from '../run/context.js';
import { addVerifyOption } from './checked-files.js';
import { type CommandResult, defineAction, type Terminal } from './command.js';
import { showDryRun } from './dry-run.js';
import { addHealthOptions, kebab, takeHealth } from './health.js';
import { interruptible } from './interruption.js';
import { wholeNumber } from './numbers.js';
import type { Progress } from './progress.js';
import { withRanks } from './ranks.js';
import { showEvaluations, showPasses, showProbes } from './show-run.js';
import { measureRun } from './speed.js';

/** Adds the commands `train`, `cpt` and `resume`. */
export function addTrainCommands(program: Command): void {
  const train = program.command('train').description('train a model from random weights');
  addConfigOptions(train);
  addVerifyOption(train);
  defineAction<TrainOptions>(train, run);

  const cpt = program
    .command('cpt')
    .description('continue the training of a model, for instance into a new language')
    .requiredOption('--from <checkpoint>', 'checkpoint, model folder, or run (its latest checkpoint)');
  addConfigOptions(cpt);
  addVerifyOption(cpt);
  defineAction<TrainOptions>(cpt, run);

  const resume = program
    .command('resume')
    .description('go on with a run from its latest checkpoint, to the same bits as if it had never stopped')
    .argument('<run>', 'folder of the run');
  resume.option('--drop-bad-lines', 'leave out lines of its metrics that are broken, in place of an error');
  resume.option('--checkpoint <name>', 'go on from this one, as step-00000400; later ones are moved aside');
  addVerifyOption(resume);
  addHealthOptions(resume);
  addHangOption(resume);
  defineAction<ResumeCommandOptions>(resume, (terminal, given, folder) => {
    const health = takeHealth(given);
    const { checkpoint, dropBadLines, verify, hangSeconds } = given;
    return withRanks(terminal, (spoken, ranks) =>
      watch(spoken, options =>
        resumeRun(folder!, { ...options, checkpoint, health, hangSeconds, dropBadLines, verify, ranks }),
      ),
    );
  });
}

type ResumeCommandOptions = Record<string, unknown> &
  Pick<ResumeOptions, 'checkpoint' | 'dropBadLines' | 'hangSeconds'> & { readonly verify: boolean };
type TrainOptions = Record<string, unknown> & {
  readonly from?: string;
  readonly dryRun?: boolean;
  readonly adapt?: boolean;
  readonly hangSeconds?: number;
  readonly verify: boolean;
};

async function run(
  terminal: Terminal,
  { from, dryRun: dry, adapt, verify, hangSeconds, ...options }: TrainOptions,
): Promise<CommandResult | undefined> {
  return withRanks(terminal, async (spoken, ranks) => {
    const health = takeHealth(options);
    const config = readConfig(options);
    if (dry) {
      if (ranks) throw new UserError('--dry-run is for one process: start it without the launcher');
      const planned = await dryRun(config, { from });
      return showDryRun(spoken, planned, await measureRun(planned, config));
    }
    const tune = { cache: cacheFolder() };
    return watch(spoken, runOptions =>
      startRun(config, { ...runOptions, from, adapt, tune, health, hangSeconds, verify, ranks }),
    );
  });
}

/** Adds a flag for every field of the configuration. */
function addConfigOptions(command: Command): void {
  command.option('--config <file>', 'YAML file of the fields below, in camel case; flags win over it');
  command.option(
    '--dry-run',
    'print what the run would take: time, device memory, FLOPs, evaluations, checkpoints; train and write nothing',
  );
  command.option(
    '--adapt',
    'where the device has no memory for the run: take smaller micro-batches of the same batch, then checkpointing',
  );
  addHealthOptions(command);
  addHangOption(command);
  addFieldOptions(command, Object.keys(configFields) as FieldName[]);
}

function addHangOption(command: Command): void {
  command.option(
    '--hang-seconds <seconds>',
    `take a device for lost that answers nothing for so long, and for 20 times what steps took; 0: never ` +
      `(default ${HANG_SECONDS})`,
    wholeNumber(0),
  );
}

/** The type of a field's values, whether or not it may be left out. */
function typeOf(field: FieldName): string {
  const { def } = configFields[field];
  return def.type === 'optional' ? def.innerType.def.type : def.type;
}

/** Adds flags for fields of the configuration, in kebab case. */
export function addFieldOptions(command: Command, fields: readonly FieldName[]): void {
  for (const field of fields) {
    const schema = configFields[field];
    const flag = kebab(field);
    const standard = defaultOf(field);
    const description = `${schema.description}${standard === undefined ? '' : ` (default ${standard})`}`;
    const type = typeOf(field);
    if (field === 'sources') {
      const option = new Option('--source <name=folder[@weight]>', `${description}; repeat for a mixture`);
      command.addOption(option.argParser(collect(parseSource)));
    } else if (field === 'heldOut') {
      const option = new Option('--held-out <language=folder>', `${description}; repeat`);
      command.addOption(option.argParser(collect(parsePair)));
    } else {
      const option = new Option(`--${flag} ${type === 'boolean' ? '[value]' : '<value>'}`, description);
      if (type === 'number') option.argParser(parseNumber);
      if (type === 'boolean') option.choices(['true', 'false']).preset('true');
      if (schema.def.type === 'enum') option.choices(Object.values<string>(schema.def.entries));
      command.addOption(option);
    }
  }
}

const collect =
  <Value>(parse: (text: string) => Value) =>
  (text: string, earlier: Value[] | undefined): Value[] => [...(earlier ?? []), parse(text)];

function parseNumber(text: string): number {
  const value = Number(text.replaceAll('_', ''));
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

function parsePair(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('It must be name=folder.');
  return [text.slice(0, at), text.slice(at + 1)];
}

function parseSource(text: string): { name: string; path: string; weight?: number } {
  const [name, rest] = parsePair(text);
  const weighted = /^(.+)@([^@/]+)$/.exec(rest);
  if (!weighted) return { name, path: rest };
  const weight = parseNumber(weighted[2]!);
  if (weight <= 0) throw new InvalidArgumentError('Its weight must be above 0.');
  return { name, path: weighted[1]!, weight };
}

/** Reads the fields of the YAML file, with the flags over them. */
function readConfig(options: Record<string, unknown>): RunConfig {
  const { config: file, json: _, source, heldOut, ...flags } = options;
  const fields = file === undefined ? {} : readYaml(String(file));
  readFlags(flags);
  // there are two ways to give the budget: the flag's wins over the file's
  if (flags.tokens !== undefined || flags.tokensPerParameter !== undefined) {
    delete fields.tokens;
    delete fields.tokensPerParameter;
  }
  Object.assign(fields, flags);
  if (source) fields.sources = source;
  if (heldOut) fields.heldOut = Object.fromEntries(heldOut as [string, string][]);
  if (fields.out === undefined) throw new UserError('a run needs a folder: give out in the config file, or --out');
  if (fields.sources === undefined)
    throw new UserError('a run needs data: give sources in the config file, or --source');
  return parseConfig(fields, `'${file}'`); // flags have no fault any more
}

/** Checks flags of fields, apart from the file's; those that are true or false come as text. */
export function readFlags(flags: Record<string, unknown>): void {
  for (const [field, schema] of Object.entries(configFields)) {
    const given = flags[field];
    if (given === undefined) continue;
    if (typeOf(field as FieldName) === 'boolean') flags[field] = given === 'true';
    const issue = schema.safeParse(flags[field]).error?.issues[0];
    if (issue) throw new UserError(`option --${kebab(field)} is ${JSON.stringify(given)}: ${issue.message}`);
  }
}

/** Runs `body` with a progress bar, and a checkpoint on Ctrl-C. */
async function watch(terminal: Terminal, body: (options: RunOptions) => Promise<RunSummary>): Promise<CommandResult> {
  const { observer, stop } = observe(terminal);
  const onInterrupt = () => {
    stop();
    terminal.note('stopping after this step, with a checkpoint');
  };
  const summary = await interruptible(onInterrupt, signal => body({ observer, signal })).finally(stop);
  const losses = showLosses(summary.heldOut);
  terminal.print(
    `${summary.status} at step ${summary.step} of ${summary.steps}, ${short(summary.tokens)} tokens, ` +
      `${short(summary.flops)} FLOPs`,
  );
  if (losses) terminal.print(`held-out loss in nats per token: ${losses}`);
  const findings = probeFindings([readRun(summary.folder)]);
  for (const finding of findings) terminal.print(finding);
  terminal.print(`checkpoint: ${summary.checkpoint}`);
  if (summary.status === 'interrupted') terminal.print(`go on with: babelgrad resume ${summary.folder}`);
  return { ...summary, ...(findings.length > 0 && { findings }) };
}

/** Shows a run as a progress bar with loss and tokens/s. */
export function observe(terminal: Terminal): { observer: TrainObserver; stop(): void } {
  let progress: Progress | undefined;
  const observer: TrainObserver = {
    onNote: text => terminal.note(text),
    onTune(seconds, most, key) {
      progress ??= terminal.progress('tuning kernels', most, 'seconds');
      progress.update(Math.round(10 * seconds) / 10, key);
    },
    onStart(run, device) {
      stop();
      const { total } = run.parameters;
      terminal.note(
        `${run.name}: ${run.method}, ${short(total)} parameters, ${short(run.tokens)} tokens in ${run.steps} ` +
          `steps, on ${device.adapter.name}`,
      );
      terminal.note(showEvaluations(run));
      if (run.probes !== undefined) terminal.note(showProbes(run));
      terminal.note(showPasses(run));
      progress = terminal.progress(run.name, run.steps, 'steps');
    },
    onWarning: warning => terminal.note(`warning: ${warning}`),
    onStep({ step, loss, tokensPerSecond }) {
      progress?.update(step, `loss ${loss?.toFixed(3) ?? 'not finite'} · ${short(tokensPerSecond)} tokens/s`);
    },
  };
  const stop = () => {
    progress?.stop();
    progress = undefined; // a line may be printed now, and steps that still come in draw no bar over it
  };
  return { observer, stop };
}
