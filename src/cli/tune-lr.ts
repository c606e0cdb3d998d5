/** The command `tune lr`: a sweep of learning rates by short runs, and the rate that it proposes. */
import { join } from 'node:path';
import { messageOf, UserError } from '../errors.js';
import { checkFilePlace, writeFileWhole } from '../files.js';
import { madeBy } from '../report/made.js';
import { short } from '../report/numbers.js';
import { pngOf, standaloneSvg } from '../report/picture.js';
import { quote } from '../study/slurm/script.js';
import { findingsOf, limitsOf, showRate } from '../sweep/findings.js';
import { sweepPage, sweepTable } from '../sweep/page.js';
import { planSweep, type SweepPlan } from '../sweep/plan.js';
import { lossPlot, sourcePlot } from '../sweep/plot.js';
import { runSweep, type Sweep, type SweepObserver } from '../sweep/sweep.js';
import type { CommandResult, Terminal } from './command.js';
import { interruptible } from './interruption.js';
import type { Progress } from './progress.js';
import { textTable } from './table.js';
import { readConfig } from './train.js';

interface TuneLrOptions extends Record<string, unknown> {
  readonly config?: string;
  readonly from?: string;
  readonly out?: string;
  readonly tokens?: number;
  readonly factor?: number;
  readonly rates: number;
  readonly seeds: number;
  readonly language?: string;
}

/** The quotient of neighbouring rates at first: two of them make ten. */
const FACTOR = Math.sqrt(10);
/** Losses of rates that are nearer differ by less than seeds do; in wider gaps a parabola says nothing of the best. */
const FACTORS = { least: 1.1, most: 1000 };

/** The command `tune lr`. */
export async function tuneLr(terminal: Terminal, options: TuneLrOptions): Promise<CommandResult> {
  const { from, tokens, factor = FACTOR, rates: mostRates, seeds, language, ...fields } = options;
  checkFactor(factor);
  const config = readConfig(fields);
  const folder = options.out ?? `${config.out}-lr`;
  checkFilePlace(join(folder, 'report.html'));
  const plan = await planSweep(config, { folder, from, tokens, factor, language });
  for (const line of introduction(plan, { mostRates, seeds })) terminal.note(line);
  const { observer, stop } = observe(terminal);
  const onInterrupt = () => {
    stop();
    terminal.note('stopping after this step, with a checkpoint');
  };
  const sweep = await interruptible(onInterrupt, signal =>
    runSweep(plan, { mostRates, seeds, observer, signal }),
  ).finally(stop);
  if (sweep.rates.length > 0) show(terminal, sweep, plan);
  const files = sweep.rates.length > 0 ? writeReport(terminal, sweep, plan, givenCommand()) : [];
  for (const file of files) terminal.print(`written: ${file}`);
  if (sweep.status === 'interrupted') terminal.print('go on with the same command');
  else if (!sweep.minimum) process.exitCode ||= 1;
  const { status, rates, minimum = null } = sweep;
  return { folder, status, language: plan.language, tokens: plan.short.run.tokens, rates, minimum, files };
}

function checkFactor(factor: number): void {
  const { least, most } = FACTORS;
  if (factor >= least && factor <= most) return;
  throw new UserError(
    `--factor ${factor} is no distance between rates that tells which is best: it must be from ${least}, below which ` +
      `neighbours differ by less than seeds do, to ${most}, above which too much lies between them`,
  );
}

function introduction(
  { short: { run, notes }, rate, factor, runTokens }: SweepPlan,
  { mostRates, seeds }: { readonly mostRates: number; readonly seeds: number },
): string[] {
  return [
    ...notes,
    `rates about ${showRate(rate)}, by a factor of ${factor.toPrecision(3)} at first, ${mostRates} at most` +
      `${seeds > 1 ? `, ${seeds} seeds each` : ''}; runs of ${run.steps} steps, ${short(run.tokens)} tokens ` +
      `(the run itself: ${short(runTokens)})`,
  ];
}

/** Shows each run as a progress bar, and how it ended. */
function observe(terminal: Terminal): { observer: SweepObserver; stop(): void } {
  let progress: Progress | undefined;
  const stop = () => {
    progress?.stop();
    progress = undefined;
  };
  const observer: SweepObserver = {
    onRunStart(name, steps) {
      progress = terminal.progress(name, steps, 'steps');
    },
    onProgress: ({ step, loss, tokensPerSecond }) =>
      progress?.update(step, `loss ${loss?.toFixed(3) ?? 'not finite'} · ${short(tokensPerSecond)} tokens/s`),
    onRunEnd({ name, state, losses, error }) {
      stop();
      const [why] = error?.split('; ') ?? [];
      terminal.note(`${name}: ${losses ? `held-out loss ${losses.end.toFixed(4)}` : `${state}: ${why}`}`);
    },
  };
  return { observer, stop };
}

function show(terminal: Terminal, sweep: Sweep, plan: SweepPlan): void {
  const { head, rows } = sweepTable(sweep, plan);
  terminal.print(textTable(head, rows));
  for (const finding of findingsOf(sweep, plan)) terminal.print(finding);
  for (const limit of limitsOf(plan)) terminal.print(limit);
  if (sweep.minimum) terminal.print(`take it with: --learning-rate ${showRate(sweep.minimum.rate)}`);
}

/** Writes page and figures. A figure as PNG needs a package that need not be there, and is left out with a note. */
function writeReport(terminal: Terminal, sweep: Sweep, plan: SweepPlan, command: string): string[] {
  const { folder, language } = plan;
  const hasLoss = sweep.rates.some(({ losses }) => losses.length > 0);
  const figures = {
    ...(hasLoss && { loss: lossPlot(sweep, language) }),
    ...(hasLoss && { 'source-loss': sourcePlot(sweep) }),
  };
  const files: Record<string, string | Uint8Array> = { 'report.html': sweepPage(sweep, plan, madeBy(command)) };
  for (const [name, svg] of Object.entries(figures)) {
    if (svg === undefined) continue;
    files[`${name}.svg`] = standaloneSvg(svg);
    try {
      files[`${name}.png`] = pngOf(svg);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      terminal.note(`without ${name}.png: ${messageOf(error)}`);
    }
  }
  return Object.entries(files).map(([name, data]) => {
    const path = join(folder, name);
    writeFileWhole(path, data);
    return path;
  });
}

/** Returns the command as it was given, so that it makes the same sweep again; a shell would split some words. */
const givenCommand = (): string =>
  process.argv
    .slice(2)
    .filter(word => word !== '--json')
    .map(word => (/^[\w@%+=:,./-]+$/.test(word) ? word : quote(word)))
    .join(' ');
