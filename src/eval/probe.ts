/**
 * Probes of what a model does in context, which a loss hardly shows: copying (a segment comes a second time) and
 * induction (A B … A → B). The tasks are drawn from given tokens, the same at every call.
 */
import { UserError } from '../errors.js';
import { IGNORED_TARGET } from '../kernels/cross-entropy.js';
import type { BatchShape } from '../model/llama.js';
import type { Model } from '../model/model.js';
import { Random } from '../random.js';
import { TokenLosses } from './token-losses.js';

/** What a model made of one task. */
export interface TaskProbe {
  /** The share of the measured tokens that the model takes for the likeliest, 0 to 1. */
  readonly accuracy: number;
  /** The mean loss of the measured tokens, in nats. */
  readonly loss: number;
  /** The mean loss of the same tokens where they come for the first time and nothing foretells them, in nats. */
  readonly firstLoss: number;
  /** The number of measured tokens. */
  readonly tokens: number;
  /** The accuracy of one who knows which tokens occur in a sequence, but not in which order. */
  readonly chance: number;
}

export interface Probe {
  readonly copy: TaskProbe;
  readonly induction: TaskProbe;
}

/** The ids of a sequence of a task that are no mark: more would not tell more, and take longer. */
const LENGTH = 256;
/** About how many tokens a task has in all. */
const TOKENS = 2048;
/** The fewest different tokens that make a task. */
export const FEWEST_IDS = 8;

/** Sequences [n, T+1], filled up with IGNORED_TARGET, and which of their predictions are measured [n, T]. */
export interface ProbeTask {
  readonly sequences: Uint32Array;
  /** The predictions of what a sequence foretells. */
  readonly measured: readonly number[];
  /** The predictions of the same tokens where they come first. */
  readonly first: readonly number[];
  readonly chance: number;
}

/** Returns how many predictions a sequence of a task has, for a model or run of at most `contextLength` tokens. */
export const probeLength = (contextLength: number): number => Math.min(LENGTH - 1, contextLength);

/** Returns the batch that probes run in: as many tokens as `tokensAtOnce`, or one sequence. */
export function probeShape(contextLength: number, tokensAtOnce: number): BatchShape {
  const T = probeLength(contextLength);
  return { B: Math.max(1, Math.min(Math.floor(tokensAtOnce / T), sequencesOf(T))), T };
}

const sequencesOf = (T: number): number => Math.ceil(TOKENS / (T + 1));

/** Places of one sequence, and which of them are measured. */
interface Layout {
  readonly ids: readonly number[];
  /** The places of measured tokens, and those where they came first. */
  readonly measured: readonly number[];
  readonly first: readonly number[];
}

/**
 * Lays a copy out: a segment of different tokens, and the same segment again. Its first token is foretold by nothing.
 */
function copy(drawn: readonly number[]): Layout {
  const length = drawn.length;
  const first = Array.from({ length: length - 1 }, (_, i) => i + 1);
  return { ids: [...drawn, ...drawn], measured: first.map(at => at + length), first };
}

/**
 * Lays an induction out: pairs among fillers, in an order, and the same pairs among other fillers in another. Half of
 * the tokens are fillers, so that a pair's distance from its first occurrence tells nothing.
 */
function induction(drawn: readonly number[], half: number, random: Random): Layout {
  const count = Math.max(1, Math.floor(half / 4));
  const fillers = half - 2 * count;
  const pairs = Array.from({ length: count }, (_, i) => [drawn[2 * i]!, drawn[2 * i + 1]!] as const);
  const places: Map<number, number>[] = [];
  const ids: number[] = [];
  for (let pass = 0; pass < 2; pass++) {
    const from = 2 * count + pass * fillers;
    const pieces = [...pairs, ...drawn.slice(from, from + fillers).map(id => [id])];
    const seconds = new Map<number, number>();
    for (const piece of random.permutation(pieces.length)) {
      ids.push(...pieces[piece]!);
      if (piece < count) seconds.set(piece, ids.length - 1);
    }
    places.push(seconds);
  }
  const [first, measured] = places.map(seconds => pairs.map((_, pair) => seconds.get(pair)!));
  return { ids, measured: measured!, first: first! };
}

/**
 * Makes a task out of `pool`, the ids that may be drawn. The same pool and length give the same task.
 * @param start the ids before every sequence, as before every text of the model.
 * @throws UserError when there are fewer than FEWEST_IDS, or T has no room for a task.
 */
export function probeTask(kind: keyof Probe, pool: Uint32Array, T: number, start: readonly number[] = []): ProbeTask {
  if (pool.length < FEWEST_IDS) {
    throw new UserError(
      `a probe draws its tokens from ${FEWEST_IDS} different ones at least, and there are ${pool.length}`,
    );
  }
  const half = Math.floor((T + 1 - start.length) / 2);
  if (half < 4) throw new UserError(`a probe needs a context of ${7 + start.length} tokens at least, not ${T}`);
  const isCopy = kind === 'copy';
  // all tokens of a sequence are different, but for those that come a second time
  const length = Math.min(half, isCopy ? pool.length : Math.floor(pool.length / 2));
  const count = isCopy ? length : 2 * length - 2 * Math.max(1, Math.floor(length / 4));
  const random = new Random(0, 'probe', kind);
  const sequences = new Uint32Array(sequencesOf(T) * (T + 1)).fill(IGNORED_TARGET);
  const measured: number[] = [];
  const first: number[] = [];
  for (let n = 0; n < sequencesOf(T); n++) {
    const drawn = [...random.permutation(pool.length).subarray(0, count)].map(i => pool[i]!);
    const layout = isCopy ? copy(drawn) : induction(drawn, length, random);
    sequences.set([...start, ...layout.ids], n * (T + 1));
    const prediction = (place: number) => n * T + start.length + place - 1;
    measured.push(...layout.measured.map(prediction));
    first.push(...layout.first.map(prediction).filter(at => at >= n * T));
  }
  return { sequences, measured, first, chance: 1 / count };
}

/** Runs probes of a model, planned once. Free it with `destroy`. */
export class Prober {
  readonly #scorer: TokenLosses;

  private constructor(scorer: TokenLosses) {
    this.#scorer = scorer;
  }

  /**
   * Plans the forward pass for a shape of `probeShape`.
   * @throws UserError as `TokenLosses.create`.
   */
  static async create(model: Model, shape: BatchShape): Promise<Prober> {
    return new Prober(await TokenLosses.create(model, shape, { hits: true }));
  }

  /**
   * Probes the model with tokens of `pool`.
   * @param start the ids before every sequence.
   * @throws UserError as `probeTask`.
   */
  async probe(pool: Uint32Array, start: readonly number[] = []): Promise<Probe> {
    const { T } = this.#scorer.shape;
    return {
      copy: await this.#run(probeTask('copy', pool, T, start)),
      induction: await this.#run(probeTask('induction', pool, T, start)),
    };
  }

  async #run({ sequences, measured, first, chance }: ProbeTask): Promise<TaskProbe> {
    const { B, T } = this.#scorer.shape;
    const losses: number[] = [];
    const hits: number[] = [];
    for (let from = 0; from < sequences.length; from += B * (T + 1)) {
      const scores = await this.#scorer.scoresOf(sequences.subarray(from, from + B * (T + 1)));
      losses.push(...scores.losses);
      hits.push(...scores.hits);
    }
    const mean = (values: readonly number[], at: readonly number[]) =>
      at.reduce((sum, i) => sum + values[i]!, 0) / at.length;
    const tokens = measured.length;
    return {
      accuracy: mean(hits, measured),
      loss: mean(losses, measured),
      firstLoss: mean(losses, first),
      tokens,
      chance,
    };
  }

  destroy(): void {
    this.#scorer.destroy();
  }
}
