/** The command `tune batch`: the gradient noise scale of checkpoints, and what it says about the batch of their run. */
import { dirname } from 'node:path';
import { isCheckpointFolder } from '../checkpoint/find.js';
import { originOf } from '../checkpoint/training-record.js';
import { UserError } from '../errors.js';
import { type Device, loadModel, openDevice } from '../index.js';
import { mean } from '../mean.js';
import { figures, short } from '../report/numbers.js';
import { holdsRun, readRunConfig } from '../run/folder.js';
import { type GradientDraw, gradientNorms } from '../run/gradient-noise.js';
import type { ResolvedRun } from '../run/resolved.js';
import { openData } from '../run/run-data.js';
import { costOf, noiseScale } from '../scaling/noise-scale.js';
import { checkedModelFolder } from './checked-files.js';
import type { CommandResult, Terminal } from './command.js';
import { interruptible } from './interruption.js';
import { textTable } from './table.js';

interface TuneBatchOptions {
  readonly small?: number;
  readonly large?: number;
  readonly draws: number;
  readonly seed: number;
  readonly adapter?: string;
  readonly verify: boolean;
}

/** The tokens of a small batch where nothing else is asked for, if a micro-batch of the run has as many. */
const SMALL_TOKENS = 1024;
/** How many small batches make a large one. */
const CONTRAST = 16;

interface Subject {
  readonly folder: string;
  readonly run: ResolvedRun;
  readonly sizes: { readonly small: number; readonly large: number };
}

/** What was found of a checkpoint; batches are in tokens, null where there is no bound. */
interface Finding extends Record<string, unknown> {
  readonly checkpoint: string;
  readonly tokens: number;
  readonly loss: number;
  readonly batchTokens: number;
  readonly noiseScale: number | null;
  readonly interval: readonly (number | null)[];
}

/** The command `tune batch`. */
export async function tuneBatch(
  terminal: Terminal,
  options: TuneBatchOptions,
  given: string[],
): Promise<CommandResult> {
  const subjects: Subject[] = [];
  for (const path of given) {
    const folder = await checkedModelFolder(terminal, path, options.verify);
    const run = runOf(folder);
    subjects.push({ folder, run, sizes: sizesOf(options, run) });
  }
  const device = await openDevice({ adapter: options.adapter ?? subjects[0]!.run.adapter ?? undefined });
  const found: { subject: Subject; finding: Finding }[] = [];
  try {
    await interruptible(
      () => terminal.note('stopping after this step'),
      async signal => {
        for (const subject of subjects) {
          const draws = await measure(terminal, device, subject, options, signal);
          if (draws.length < 2) return;
          found.push({ subject, finding: findingOf(subject, draws) });
        }
      },
    );
  } finally {
    device.close();
  }
  if (found.length === 0) throw new UserError('interrupted before two draws were measured; nothing can be said');
  terminal.print(tableOf(found.map(({ finding }) => finding)));
  for (const { subject, finding } of found) for (const line of adviceOf(subject, finding)) terminal.print(line);
  terminal.print(CAVEAT);
  return { checkpoints: found.map(({ finding }) => finding) };
}

/** Returns a run whose gradients can be measured at any time. @throws UserError where they cannot. */
function checked(folder: string, run: ResolvedRun): ResolvedRun {
  const refuse = (why: string) => new UserError(`the run of '${folder}' ${why}: its noise scale is not measured`);
  if (run.lora) throw refuse('trains adapters, whose gradients are not those of the model');
  if (run.sources.some(({ stages }) => stages)) throw refuse('has a mixture that changes along it');
  return run;
}

/** Returns the run that a checkpoint lies in. @throws UserError where it lies in none. */
function runOf(folder: string): ResolvedRun {
  const run = dirname(dirname(folder));
  if (isCheckpointFolder(folder) && holdsRun(run)) return checked(folder, readRunConfig(run));
  throw new UserError(`'${folder}' is no checkpoint of a run, which would have its data and its batch; name one`);
}

function sizesOf({ small: asked, large: askedLarge }: TuneBatchOptions, run: ResolvedRun): Subject['sizes'] {
  const small = asked ?? Math.max(1, Math.min(run.microBatch, Math.floor(SMALL_TOKENS / run.contextLength)));
  const large = askedLarge ?? CONTRAST * small;
  if (large > small && large % small === 0) return { small, large };
  throw new UserError(`--large ${large} must be a multiple of --small ${small} (sequences), and more than it`);
}

async function measure(
  terminal: Terminal,
  device: Device,
  { folder, run, sizes }: Subject,
  { draws, seed }: TuneBatchOptions,
  signal: AbortSignal,
): Promise<GradientDraw[]> {
  const data = openData(run.sources, run.heldOut);
  const progress = terminal.progress(folder, 2 * draws * sizes.large, 'sequences');
  try {
    const model = await loadModel(device, folder, { precision: run.precision, weightType: run.weightType });
    try {
      const onProgress = (sequences: number) => progress.update(sequences);
      return await gradientNorms(run, model, data, { ...sizes, draws, seed, onProgress, signal });
    } finally {
      model.destroy();
    }
  } finally {
    progress.stop();
    data.close();
  }
}

function findingOf({ folder, run, sizes }: Subject, draws: readonly GradientDraw[]): Finding {
  const scale = noiseScale(draws, sizes);
  const inTokens = (sequences: number) =>
    Number.isFinite(sequences) ? Math.round(sequences * run.contextLength) : null;
  return {
    checkpoint: folder,
    tokens: originOf(folder).tokens,
    loss: mean(draws.map(({ loss }) => loss)),
    gradient: scale.gradient,
    noise: scale.noise,
    batchTokens: run.batchTokens,
    noiseScale: inTokens(scale.batch),
    interval: scale.interval.map(inTokens),
    draws: draws.length,
    ...sizes,
  };
}

const showTokens = (tokens: number | null): string => (tokens === null ? 'no bound' : short(tokens));

function tableOf(findings: readonly Finding[]): string {
  const head = ['checkpoint', 'trained tokens', 'loss', 'noise scale, tokens', '95% of draws', "run's batch, tokens"];
  const rows = findings.map(({ checkpoint, tokens, loss, noiseScale: batch, interval, batchTokens }) => [
    checkpoint,
    short(tokens),
    loss.toFixed(4),
    showTokens(batch),
    interval.map(showTokens).join(' to '),
    short(batchTokens),
  ]);
  return textTable(head, rows);
}

/** Says what a noise scale means for a run: what its batch costs, and how the suggested one could be made up. */
function adviceOf({ folder, run }: Subject, { noiseScale: critical, batchTokens }: Finding): string[] {
  if (critical === null || critical === 0) {
    return [`${folder}: the draws tell no scale apart from their noise; give more --draws, or a larger --large`];
  }
  const { steps, tokens } = costOf(batchTokens, critical);
  const perMicroBatch = run.microBatch * run.contextLength;
  const [own, parts] = [batchTokens / perMicroBatch, critical / perMicroBatch];
  return [
    `${folder}: a critical batch of about ${short(critical)} tokens. By it, the run's ${short(batchTokens)} take ` +
      `${figures(steps)} times the fewest steps that reach a loss, and ${figures(tokens)} times the fewest tokens.`,
    `With micro-batches of ${run.microBatch} × ${run.contextLength} tokens (${own} a step now) ` +
      (parts < 1
        ? 'that is less than one a step: accumulation and more ranks gain little.'
        : `that is about ${Math.round(parts)} a step, by accumulation or on as many ranks. Twice as many would take ` +
          'three quarters of the steps, and half as many tokens again.'),
  ];
}

const CAVEAT =
  'It is the scale of plain gradient descent, and right within a factor of a few at best (McCandlish et al. 2018, ' +
  'arXiv 1812.06162): AdamW weighs directions otherwise. It grows as the loss falls, so that it is a lower bound for ' +
  'what comes later; critical batches of pre-training grow with the tokens of the run (Zhang et al. 2024, arXiv ' +
  '2410.21676). A larger batch bears a higher learning rate: tune lr finds it.';
