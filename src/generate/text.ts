/** Turns tokens into text as they come: whole characters only, and nothing that may turn out to be a stop string. */

/** Returns the text of token ids. */
export type Decode = (ids: readonly number[]) => Promise<string>;

/** The characters that decoders put for bytes that are no character, or not yet. */
const UNFINISHED = /\uFFFD+$/;

/** The text that follows a prompt. */
export class TextStream {
  readonly #decode: Decode;
  readonly #stops: readonly string[];
  /**
   * The ids that are decoded together, and below them the places up to which their text was taken. Decoders treat the
   * first token of a text differently, so that a few older ones go along.
   */
  #ids: number[];
  #taken: number;
  /** The index of the first id that was new when the text was last whole. */
  #read: number;
  /** The text that is held back: the beginning of a stop string. */
  #held = '';

  private constructor(decode: Decode, prompt: readonly number[], taken: number, stops: readonly string[]) {
    this.#decode = decode;
    this.#ids = [...prompt];
    this.#read = prompt.length;
    this.#taken = taken;
    this.#stops = stops;
  }

  static async create(decode: Decode, prompt: readonly number[], stops: readonly string[] = []): Promise<TextStream> {
    return new TextStream(decode, prompt, (await decode(prompt)).length, stops);
  }

  /**
   * Takes a token.
   * @returns the text that is sure now, and whether it ends with a stop string, which is not part of it.
   */
  async push(id: number): Promise<{ readonly text: string; readonly stopped: boolean }> {
    this.#ids.push(id);
    this.#held += await this.#next();
    const found = this.#stops.map(stop => this.#held.indexOf(stop)).filter(at => at >= 0);
    if (found.length > 0) return { text: this.#held.slice(0, Math.min(...found)), stopped: true };
    const sure = this.#held.length - Math.max(0, ...this.#stops.map(stop => overlap(this.#held, stop)));
    const text = this.#held.slice(0, sure);
    this.#held = this.#held.slice(sure);
    return { text, stopped: false };
  }

  /** Returns the rest where no stop string came; a character that was left unfinished is dropped. */
  end(): string {
    return this.#held;
  }

  /** Returns the whole characters that the newest tokens add. */
  async #next(): Promise<string> {
    const whole = await this.#decode(this.#ids);
    const finished = whole.replace(UNFINISHED, '');
    const text = finished.slice(this.#taken);
    this.#taken = Math.max(this.#taken, finished.length);
    if (finished.length === whole.length) {
      this.#ids = this.#ids.slice(this.#read);
      this.#read = this.#ids.length;
      this.#taken = (await this.#decode(this.#ids)).length;
    }
    return text;
  }
}

/** Returns the length of the longest end of `text` that `stop` begins with. */
function overlap(text: string, stop: string): number {
  let length = Math.min(text.length, stop.length - 1);
  while (length > 0 && !stop.startsWith(text.slice(-length))) length--;
  return length;
}
