/** Continues prompts: batch by batch, each sequence until something ends it. */
import { UserError } from '../errors.js';
import { checkIds, checkSizes } from '../model/batch.js';
import type { ModelConfig } from '../model/config.js';
import type { Model } from '../model/model.js';
import { CachedModel } from './cached-model.js';
import { checkSampling } from './sample.js';
import { type Generated, Sequence, type SequenceSettings } from './sequence.js';
import type { Decode } from './text.js';

export interface GenerateSettings extends Omit<SequenceSettings, 'context'> {
  /** The tokens of prompt and continuation together; by default as many as the model takes. */
  readonly context?: number | undefined;
  /** The number of prompts that run at once. */
  readonly batch?: number;
}

/** The tokens that went through the model, and the time they took without planning. */
export interface Pace {
  tokens: number;
  seconds: number;
}

export interface Generation {
  readonly results: readonly Generated[];
  /**
   * The pace of the prompts, which run at once, and below it that of the tokens one after the other, with their choice
   * and their text.
   */
  readonly prefill: Pace;
  readonly decode: Pace;
}

const BATCH = 8;

/**
 * Continues prompts of token ids. `onText` is told a prompt's number and the text that it has got, as soon as that text
 * is sure; `onFinish` is told when there will be no more.
 * @throws UserError when a setting makes no sense, or a prompt is empty or leaves no room in the context.
 * @example
 * import { findModelFolder, generate, loadModel, openDevice, readEndIds, TextTokenizer } from 'babelgrad';
 *
 * const device = await openDevice();
 * const folder = findModelFolder('runs/english');
 * const model = await loadModel(device, folder, { trainable: false });
 * const tokenizer = TextTokenizer.load(`${folder}/tokenizer.json`);
 * const prompt = await tokenizer.encodePrompt('The page style');
 * const endIds = [tokenizer.separatorId, ...readEndIds(folder)];
 * const settings = { maxTokens: 20, temperature: 0.8, topP: 0.9, endIds };
 * const { results } = await generate(model, [prompt], ids => tokenizer.decode(ids), settings);
 * console.log(results[0]?.text);
 */
export async function generate(
  model: Model,
  prompts: readonly (readonly number[])[],
  decode: Decode,
  settings: GenerateSettings,
  { onText, onFinish }: { onText?(prompt: number, text: string): void; onFinish?(prompt: number): void } = {},
): Promise<Generation> {
  const context = checkGeneration(model.config, prompts, settings);
  const { batch = BATCH, maxTokens } = settings;
  const generation = {
    results: [] as Generated[],
    prefill: { tokens: 0, seconds: 0 },
    decode: { tokens: 0, seconds: 0 },
  };
  for (let first = 0; first < prompts.length; first += batch) {
    const sequences = await Promise.all(
      prompts.slice(first, first + batch).map((ids, i) =>
        Sequence.create(ids, decode, { ...settings, context }, first + i, {
          onText: text => onText?.(first + i, text),
          onFinish: () => onFinish?.(first + i),
        }),
      ),
    );
    const T = Math.max(...sequences.map(({ prompt }) => prompt.length));
    const shape = { B: sequences.length, T, capacity: Math.min(context, T + maxTokens) };
    const cached = await CachedModel.create(model, shape);
    try {
      await continueAll(cached, sequences, generation);
    } finally {
      cached.destroy();
    }
    generation.results.push(...sequences.map(sequence => sequence.result));
  }
  return generation;
}

async function continueAll(
  cached: CachedModel,
  sequences: readonly Sequence[],
  paces: { readonly prefill: Pace; readonly decode: Pace },
): Promise<void> {
  const V = cached.model.config.vocabSize;
  const takeAll = async (logits: Float32Array) => {
    for (const [b, sequence] of sequences.entries()) {
      if (!sequence.finish) await sequence.take(logits.subarray(b * V, (b + 1) * V));
    }
  };
  let start = performance.now();
  const lap = (pace: Pace, tokens: number) => {
    const now = performance.now();
    pace.seconds += (now - start) / 1000;
    pace.tokens += tokens;
    start = now;
  };
  const logits = await cached.prefill(sequences.map(({ prompt }) => prompt));
  lap(
    paces.prefill,
    sequences.reduce((sum, { prompt }) => sum + prompt.length, 0),
  );
  await takeAll(logits);
  start = performance.now();
  for (;;) {
    const newest = sequences.map(({ finish, ids }) => (finish ? undefined : ids.at(-1)));
    const running = newest.filter(id => id !== undefined).length;
    if (running === 0) return;
    await takeAll(await cached.decode(newest));
    lap(paces.decode, running);
  }
}

/**
 * Checks the settings as `generate` does, which needs no loaded model. @returns the tokens of the context. @throws as
 * `generate`.
 */
export function checkGeneration(
  config: ModelConfig,
  prompts: readonly (readonly number[])[],
  settings: GenerateSettings,
): number {
  checkSampling(settings);
  const { vocabSize, maxPositionEmbeddings } = config;
  const { maxTokens, stop = [], endIds = [], batch = BATCH } = settings;
  const { context = maxPositionEmbeddings } = settings;
  checkSizes({ 'max-tokens': maxTokens, batch, context });
  if (context > maxPositionEmbeddings) {
    throw new UserError(`a context of ${context} tokens exceeds the model's ${maxPositionEmbeddings} positions`);
  }
  if (stop.includes('')) throw new UserError('a stop string is empty');
  checkIds(endIds, vocabSize);
  for (const [i, { length }] of prompts.entries()) {
    if (length === 0)
      throw new UserError(`prompt ${i + 1} is empty; a text begins with the token that ends the one before`);
    if (length < context) continue;
    throw new UserError(
      `prompt ${i + 1} has ${length} tokens and leaves no room in a context of ${context}; shorten it` +
        (context < maxPositionEmbeddings ? `, or use a context of up to ${maxPositionEmbeddings}` : ''),
    );
  }
  return context;
}
