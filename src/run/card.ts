/** A model's card: README.md in Hugging Face's layout, from what a checkpoint and its run have recorded. */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { isCheckpointFolder } from '../checkpoint/find.js';
import { originOf, readTrainingState, type TrainingState } from '../checkpoint/training-record.js';
import { UserError } from '../errors.js';
import { readText } from '../input-files.js';
import { CONFIG, METRICS, readRunConfig } from './folder.js';
import type { HeldOutLoss } from './metrics.js';
import type { ResolvedRun } from './resolved.js';

const heldOut = z.record(
  z.string(),
  z.object({ loss: z.number(), tokens: z.number(), bitsPerByte: z.number(), bytes: z.number() }),
);
const evaluationSchema = z.object({
  kind: z.literal('evaluation'),
  step: z.number(),
  heldOut,
  heldOutAverage: heldOut.optional(),
});
type Evaluation = z.infer<typeof evaluationSchema>;

/** ISO 639 codes are what the Hub takes for languages; sources may be named otherwise. */
const LANGUAGE_CODE = /^[a-z]{2,3}$/;

/**
 * Returns the card of the model in a folder: its languages and base model, data, recipe and losses, and places for what
 * only its maker can say. With `peft` it is that of a run's adapters alone, and not of the model that they make with
 * their base. It is undefined where the model has no record of a training here.
 * @example
 * import { findModelFolder, modelCard } from 'babelgrad';
 *
 * console.log(modelCard(findModelFolder('runs/english')));
 */
export function modelCard(folder: string, library: 'transformers' | 'peft' = 'transformers'): string | undefined {
  if (!existsSync(join(folder, 'training.json'))) return undefined;
  const state = readTrainingState(folder);
  const isAverage = basename(folder) === 'average' && isCheckpointFolder(dirname(folder));
  const checkpoint = isAverage ? dirname(folder) : folder;
  const run = isCheckpointFolder(checkpoint) ? dirname(dirname(checkpoint)) : undefined;
  const config = run === undefined ? undefined : configOf(run);
  const losses = config && lossTable(run!, state.step, isAverage);
  const parts = [
    frontMatter(state, config, library),
    `# ${state.run}`,
    introduction(state, config, library === 'peft' ? 'LoRA adapters of a' : isAverage ? AVERAGE : 'A'),
    '## Data',
    dataTable(state, config),
    ...(config ? ['## Recipe', recipeTable(state, config)] : []),
    ...(losses === undefined ? [] : ['## Held-out loss', losses]),
    '## To be filled in',
    'Licence (of the data and of the base model, too), where the data comes from, intended use, limits and risks.',
  ];
  return `${parts.join('\n\n')}\n`;
}

/** Reads the configuration of the run that a checkpoint stands in; undefined where it is gone. */
function configOf(run: string): ResolvedRun | undefined {
  try {
    return existsSync(join(run, CONFIG)) ? readRunConfig(run) : undefined;
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

function frontMatter(
  { run, sources = [], base }: TrainingState,
  config: ResolvedRun | undefined,
  library: 'transformers' | 'peft',
): string {
  const language = sources.map(({ name }) => name).filter(name => LANGUAGE_CODE.test(name));
  const baseModel = config?.source?.name ?? (base && originOf(base.path).name);
  const kind = config ? [config.source ? 'continual-pretraining' : 'pretraining'] : [];
  const fields = {
    ...(language.length > 0 && { language }),
    license: 'other',
    library_name: library,
    pipeline_tag: 'text-generation',
    ...(baseModel !== undefined && { base_model: baseModel }),
    tags: ['babelgrad', ...(library === 'peft' ? ['lora'] : []), ...kind],
    model_name: run,
  };
  return `---\n${stringify(fields)}---`;
}

const AVERAGE = 'The running average of the weights of a';

function introduction({ tokens, step }: TrainingState, config: ResolvedRun | undefined, what: string): string {
  const model = config ? ` of ${count(config.parameters.total)} parameters` : '';
  const source = config?.source;
  const from = source
    ? `, continued from \`${source.name}\` (continual pre-training)`
    : config
      ? ', trained from random weights'
      : '';
  return (
    `${what} language model${model}${from}, after ${count(step)} steps on ${count(tokens)} tokens. Made with ` +
    'babelgrad; `training.json` has the record of the training.'
  );
}

function dataTable({ sources = [], mixture, tokens }: TrainingState, config: ResolvedRun | undefined): string {
  const total = sources.reduce((sum, { weight }) => sum + weight, 0);
  const drawn = mixture.drawn.reduce((sum, sequences) => sum + sequences, 0);
  const rows = sources.map(({ name, weight, stages }, i) => {
    const own = drawn === 0 ? 0 : (tokens * (mixture.drawn[i] ?? 0)) / drawn;
    const share = `${percent(weight / total)}${stages ? ' (on average, in stages)' : ''}`;
    const passes = config?.sources[i] ? (own / config.sources[i].trainTokens).toPrecision(3) : '';
    return [name, share, count(own), passes];
  });
  return table(['source', 'share', 'tokens trained on', 'passes'], rows);
}

function recipeTable({ step, learningRate }: TrainingState, run: ResolvedRun): string {
  const { schedule, optimizer, source } = run;
  const { beta1, beta2, eps, weightDecay, clip } = optimizer;
  const lastRate = learningRate === undefined ? 'not known' : Number(learningRate.toPrecision(6));
  const rows = [
    ['base model', source ? `\`${source.name}\`, optimizer state ${run.optimizerState}` : 'none: random weights'],
    ['steps', `${count(step)} of ${count(run.steps)}`],
    [
      'batch',
      `${count(run.batchTokens)} tokens, in sequences of ${count(run.contextLength)}` +
        `${run.documentEnd === undefined ? '' : ', attention within documents'}`,
    ],
    ['learning rate', `${schedule.schedule}, peak ${schedule.learningRate}, at the end ${lastRate}`],
    [
      'AdamW',
      `β1 ${beta1}, β2 ${beta2}, eps ${eps}, decay ${weightDecay}, clip ${clip}, moments in ${run.momentType}, ` +
        `gradients in ${run.gradientStorage}`,
    ],
    ...(run.parameterGroups ?? []).map(({ match, ...rule }) => [
      `parameters ${match.map(pattern => `\`${pattern}\``).join(', ')}`,
      Object.entries(rule)
        .map(([name, value]) => `${name} ${value}`)
        .join(', '),
    ]),
    ...(run.lora
      ? [['LoRA', `rank ${run.lora.rank}, alpha ${run.lora.alpha}, of ${run.lora.targets.join(', ')}`]]
      : []),
    ['precision', run.precision],
    ...(run.weightType === 'f32' ? [] : [['weights', `${run.weightType}, rounded by chance`]]),
    ...(run.emaDecay === undefined ? [] : [['average of weights', `decay ${run.emaDecay}`]]),
    ['seeds', `${run.seed}, of the data ${run.dataSeed}`],
    ...(run.kernels ? [['trained on', run.kernels.adapter]] : []),
  ];
  return table(['', ''], rows);
}

function lossTable(run: string, step: number, isAverage: boolean): string | undefined {
  const all = evaluationsOf(run).filter(evaluation => evaluation.step <= step);
  const [first, last] = [all[0], all.at(-1)];
  const losses = isAverage ? last?.heldOutAverage : last?.heldOut;
  if (!first || !last || !losses) return undefined;
  const shown = (loss: HeldOutLoss | undefined) => (loss ? loss.loss.toFixed(4) : '');
  const rows = Object.entries(losses).map(([language, loss]) => [
    language,
    count(loss.tokens),
    shown(first.heldOut[language]),
    shown(loss),
    loss.bitsPerByte.toFixed(4),
  ]);
  const head = ['set', 'tokens', `step ${first.step}, nats/token`, `step ${last.step}, nats/token`, 'bits/byte'];
  return table(head, rows);
}

/** Reads the evaluations of a run; lines that are none are passed over. */
function evaluationsOf(run: string): Evaluation[] {
  const path = join(run, METRICS);
  if (!existsSync(path)) return [];
  return readText(path)
    .split('\n')
    .flatMap(line => {
      try {
        return evaluationSchema.safeParse(JSON.parse(line)).data ?? [];
      } catch {
        return [];
      }
    });
}

const count = (value: number): string => Math.round(value).toLocaleString('en-US');
const percent = (share: number): string => `${Number((100 * share).toPrecision(3))}%`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n');
}
