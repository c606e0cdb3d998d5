/** A prompt with its continuation, as it grows. */
import { Random } from '../random.js';
import { type SamplingSettings, sample } from './sample.js';
import { type Decode, TextStream } from './text.js';

/** Why a continuation ended: a token that ends a text, a stop string, `maxTokens`, or a full context. */
export type FinishReason = 'end' | 'stop' | 'length' | 'context';

export interface Generated {
  readonly text: string;
  /** The new ids: they include those that a stop string came out of, but not the token that ends a text. */
  readonly ids: readonly number[];
  readonly finish: FinishReason;
  /** The token that ended the text, where `finish` is 'end'. */
  readonly endId?: number | undefined;
}

export interface SequenceSettings extends SamplingSettings {
  /** The most new tokens of each prompt. */
  readonly maxTokens: number;
  /** The tokens of prompt and continuation together. */
  readonly context: number;
  /** Each prompt draws from a stream of its own, by its number: its neighbours in a batch do not matter. */
  readonly seed?: number;
  /** Texts that end a continuation; they are not part of it. */
  readonly stop?: readonly string[];
  /** Tokens that end a text; they are not part of it. */
  readonly endIds?: readonly number[];
}

interface Listeners {
  onText(text: string): void;
  onFinish(): void;
}

export class Sequence {
  readonly prompt: readonly number[];
  readonly ids: number[] = [];
  finish: FinishReason | undefined;
  #endId: number | undefined;
  #text = '';
  readonly #stream: TextStream;
  readonly #settings: SequenceSettings;
  readonly #random: Random;
  readonly #listeners: Listeners;

  private constructor(
    prompt: readonly number[],
    stream: TextStream,
    settings: SequenceSettings,
    random: Random,
    listeners: Listeners,
  ) {
    this.prompt = prompt;
    this.#stream = stream;
    this.#settings = settings;
    this.#random = random;
    this.#listeners = listeners;
  }

  static async create(
    prompt: readonly number[],
    decode: Decode,
    settings: SequenceSettings,
    number: number,
    listeners: Listeners,
  ): Promise<Sequence> {
    const stream = await TextStream.create(decode, prompt, settings.stop);
    return new Sequence(prompt, stream, settings, new Random(settings.seed ?? 0, 'generate', number), listeners);
  }

  get result(): Generated {
    return { text: this.#text, ids: this.ids, finish: this.finish!, endId: this.#endId };
  }

  /** Chooses the next token by its logits [V]. */
  async take(logits: Float32Array): Promise<void> {
    const { endIds, maxTokens, context } = this.#settings;
    const id = sample(logits, this.#settings, this.#random);
    if (endIds?.includes(id)) {
      this.#endId = id;
      this.#end('end');
      return;
    }
    this.ids.push(id);
    const { text, stopped } = await this.#stream.push(id);
    this.#add(text);
    if (stopped) this.#end('stop');
    else if (this.ids.length >= maxTokens) this.#end('length');
    else if (this.prompt.length + this.ids.length >= context) this.#end('context');
  }

  #end(finish: FinishReason): void {
    if (finish !== 'stop') this.#add(this.#stream.end());
    this.finish = finish;
    this.#listeners.onFinish();
  }

  #add(text: string): void {
    if (text === '') return;
    this.#text += text;
    this.#listeners.onText(text);
  }
}
