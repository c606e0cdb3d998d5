/** The commands `train`, `cpt` and `resume`, and how a run is shown. */
import { averageFolder } from '../checkpoint/find.js';
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
import { BUDGET_FIELDS } from '../run/config.js';
import { readRunConfig } from '../run/folder.js';
import type { CommandResult, Terminal } from './command.js';
import { configText } from './config-text.js';
import { showDryRun } from './dry-run.js';
import { withFlags } from './field-flags.js';
import { takeHealth } from './health.js';
import { interruptible } from './interruption.js';
import type { Progress } from './progress.js';
import { withRanks } from './ranks.js';
import { showStart } from './show-run.js';
import { measureRun } from './speed.js';

/** The command `resume`. */
export function resume(
  terminal: Terminal,
  given: ResumeCommandOptions,
  folder: string,
): Promise<CommandResult | undefined> {
  const health = takeHealth(given);
  const { checkpoint, dropBadLines, verify, hangSeconds } = given;
  return withRanks(terminal, (spoken, ranks) =>
    watch(spoken, options =>
      resumeRun(folder, { ...options, checkpoint, health, hangSeconds, dropBadLines, verify, ranks }),
    ),
  );
}

type ResumeCommandOptions = Record<string, unknown> &
  Pick<ResumeOptions, 'checkpoint' | 'dropBadLines' | 'hangSeconds'> & { readonly verify: boolean };
type TrainOptions = Record<string, unknown> & {
  readonly from?: string;
  readonly dryRun?: boolean;
  readonly printConfig?: boolean;
  readonly adapt?: boolean;
  readonly hangSeconds?: number;
  readonly verify: boolean;
};

/** The commands `train` and `cpt`. */
export async function train(
  terminal: Terminal,
  { from, dryRun: dry, printConfig, adapt, verify, hangSeconds, ...options }: TrainOptions,
): Promise<CommandResult | undefined> {
  const health = takeHealth(options);
  if (printConfig) {
    const config = readConfig(options);
    const yaml = configText(config, from);
    terminal.write(yaml);
    return { config, yaml };
  }
  return withRanks(terminal, async (spoken, ranks) => {
    const config = readConfig(options);
    if (dry) {
      if (ranks) throw new UserError('--dry-run is for one process: start it without the launcher');
      const planned = await dryRun(config, { from, health });
      return showDryRun(spoken, planned, await measureRun(planned, config));
    }
    const tune = { cache: cacheFolder() };
    return watch(spoken, runOptions =>
      startRun(config, { ...runOptions, from, adapt, tune, health, hangSeconds, verify, ranks }),
    );
  });
}

/** Reads the fields of the YAML file, with the flags over them. */
export function readConfig(options: Record<string, unknown>): RunConfig {
  const { config: file, json: _, source, heldOut, parameterGroup, ...flags } = options;
  const ofFile = file === undefined ? {} : readYaml(String(file));
  // the budget of a flag wins over that of the file, in whatever it is given
  if (BUDGET_FIELDS.some(field => flags[field] !== undefined)) for (const field of BUDGET_FIELDS) delete ofFile[field];
  const fields = withFlags(ofFile, flags);
  if (source) fields.sources = source;
  if (parameterGroup) fields.parameterGroups = parameterGroup;
  if (heldOut) fields.heldOut = Object.fromEntries(heldOut as [string, string][]);
  if (fields.out === undefined) throw new UserError('a run needs a folder: give out in the config file, or --out');
  if (fields.sources === undefined)
    throw new UserError('a run needs data: give sources in the config file, or --source');
  return parseConfig(fields, file === undefined ? 'the flags' : `'${file}'`); // most flags have no fault any more
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
  if (summary.heldOutAverage) {
    const average = averageFolder(summary.checkpoint);
    terminal.print(`of the average of weights, in '${average}': ${showLosses(summary.heldOutAverage)}`);
  }
  const isProbed = readRunConfig(summary.folder).probes !== undefined;
  const findings = isProbed ? probeFindings([readRun(summary.folder)]) : [];
  for (const finding of findings) terminal.print(finding);
  terminal.print(`checkpoint: ${summary.checkpoint}`);
  if (summary.best) {
    const { language, step, loss, checkpoint } = summary.best;
    terminal.print(`lowest loss of ${language}: ${loss.toFixed(3)} at step ${step}, in '${checkpoint}'`);
  }
  if (summary.status === 'stopped') terminal.print('ended, since there was no lower loss in the last evaluations');
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
      for (const line of showStart(run, device.adapter)) terminal.note(line);
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
