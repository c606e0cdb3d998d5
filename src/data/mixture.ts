/** A mixture of token sources by weight, drawn the same way every time; replay is one of the sources. */
import { UserError } from '../errors.js';
import { Random } from '../random.js';
import { faultOfStages, isStaged, ShareSchedule, shareSegments, type Weight } from './shares.js';

/** A source of training tokens. TokenDataset is one. */
export interface TokenSource {
  readonly trainTokens: number;
  /** Returns the ids start … start+count-1. */
  readTrain(start: number, count: number): Uint32Array;
  /** Whether the ids have weights as targets; by default all weigh 1. */
  readonly hasWeights?: boolean | undefined;
  /** Returns the weights of the ids start … start+count-1. */
  readWeights?(start: number, count: number): Float32Array;
}

export interface MixtureSource {
  readonly name: string;
  readonly tokens: TokenSource;
  /** The share of the sequences, in proportion to the other weights: of the whole run, or in stages. */
  readonly weight: Weight;
}

export interface MixtureOptions {
  readonly seed: number;
  readonly contextLength: number;
  /** The number of sequences of the run, which stages are parts of; needed where a weight has stages. */
  readonly sequences?: number | undefined;
}

/** The number of sequences drawn from each source: all that is needed to go on. */
export interface MixtureState {
  readonly drawn: readonly number[];
}

/** A sequence of T+1 ids (T inputs, and their targets one place further on), and the index of its source. */
export interface Sequence {
  readonly tokens: Uint32Array;
  /** The weights of the targets [T], where the source has weights. */
  readonly weights?: Float32Array | undefined;
  readonly source: number;
}

/** Sequences [n, T+1], and the weights of their targets [n, T] where a source of the mixture has weights. */
export interface Batch {
  readonly sequences: Uint32Array;
  readonly weights?: Float32Array | undefined;
}

/**
 * Draws sequences from sources. The next one comes from the source with the largest deficit against its share (the
 * first on a tie), so that no share is ever off by more than a sequence or so. Where shares change along the run, the
 * deficit is against the sum of the source's shares so far. Each source is cut into windows of T+1 tokens at stride T.
 * Their order is shuffled anew for each epoch, and depends on the seed and the source's name alone: a target language
 * comes in the same order with and without replay beside it.
 * @example
 * import { Mixture, TokenDataset } from 'babelgrad';
 *
 * const french = { name: 'fr', weight: 0.9, tokens: TokenDataset.open('data/fr') };
 * const replay = { name: 'en', weight: 0.1, tokens: TokenDataset.open('data/en') };
 * const mixture = new Mixture([french, replay], { seed: 0, contextLength: 128 });
 * console.log(mixture.next(8)); // ids [8, 129]
 */
export class Mixture {
  readonly sources: readonly MixtureSource[];
  readonly contextLength: number;
  readonly #seed: number;
  readonly #drawn: number[];
  /** What the sources are to have had, where their shares change. */
  readonly #schedule: ShareSchedule | undefined;
  readonly #orders: ({ readonly epoch: number; readonly order: Uint32Array } | undefined)[];

  /**
   * Makes a mixture at its beginning.
   * @throws UserError when there is no source, a weight is not positive, stages are not sound, or a source has less
   * than one sequence.
   */
  constructor(sources: readonly MixtureSource[], { seed, contextLength, sequences }: MixtureOptions) {
    if (sources.length === 0) throw new UserError('a run needs at least one source of tokens');
    for (const { name, tokens, weight } of sources) {
      const fault = faultOfWeight(weight);
      if (fault !== undefined) throw new UserError(`source '${name}': ${fault}`);
      if (tokens.trainTokens < contextLength + 1) {
        throw new UserError(
          `source '${name}' has ${tokens.trainTokens} training tokens, ` +
            `fewer than one sequence of ${contextLength + 1}; add text or use a shorter contextLength`,
        );
      }
    }
    this.sources = sources;
    this.contextLength = contextLength;
    this.#seed = seed;
    if (isStaged(sources)) {
      if (sequences === undefined)
        throw new UserError('weights in stages need the sequences of the run: give sequences');
      this.#schedule = new ShareSchedule(shareSegments(sources), sequences);
    }
    this.#drawn = sources.map(() => 0);
    this.#orders = sources.map(() => undefined);
  }

  /** Returns the next `count` sequences [count, T+1]. */
  next(count: number): Uint32Array {
    return this.nextBatch(count).sequences;
  }

  /** Returns the next `count` sequences, with weights where a source has any. */
  nextBatch(count: number): Batch {
    const T = this.contextLength;
    const sequences = new Uint32Array(count * (T + 1));
    const weights = hasWeights(this.sources) ? new Float32Array(count * T).fill(1) : undefined;
    for (let i = 0; i < count; i++) {
      const { tokens, weights: own } = this.nextSequence();
      sequences.set(tokens, i * (T + 1));
      if (own) weights!.set(own, i * T);
    }
    return { sequences, weights };
  }

  /** Returns the next sequence. */
  nextSequence(): Sequence {
    const source = this.#choose();
    return { ...this.#draw(source), source };
  }

  #choose(): number {
    const next = this.#drawn.reduce((sum, n) => sum + n, 0) + 1;
    const deficits = this.#schedule ? this.#deficitsIn(this.#schedule, next) : this.#deficits(next);
    return deficits.indexOf(Math.max(...deficits));
  }

  /** Returns the deficits times the total weight: exact for whole weights, so that ties are ties. */
  #deficits(next: number): number[] {
    const weights = this.sources.map(({ weight }) => weight as number);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight, i) => weight * next - total * this.#drawn[i]!);
  }

  /** Returns the deficits; a source that has no share now makes up for nothing. */
  #deficitsIn(schedule: ShareSchedule, next: number): number[] {
    return schedule
      .targets(next)
      .map((target, i) => (schedule.hasShare(i, next) ? target - this.#drawn[i]! : Number.NEGATIVE_INFINITY));
  }

  #draw(i: number): Pick<Sequence, 'tokens' | 'weights'> {
    const { name, tokens } = this.sources[i]!;
    const windows = Math.floor((tokens.trainTokens - 1) / this.contextLength);
    const epoch = Math.floor(this.#drawn[i]! / windows);
    if (this.#orders[i]?.epoch !== epoch) {
      this.#orders[i] = { epoch, order: new Random(this.#seed, 'order', name, epoch).permutation(windows) };
    }
    const window = this.#orders[i]!.order[this.#drawn[i]! % windows]!;
    this.#drawn[i]!++;
    const start = window * this.contextLength;
    return {
      tokens: tokens.readTrain(start, this.contextLength + 1),
      weights: tokens.hasWeights ? tokens.readWeights!(start + 1, this.contextLength) : undefined,
    };
  }

  /** Returns the number of passes over each source so far. */
  epochs(): number[] {
    return this.sources.map(({ tokens }, i) => (this.#drawn[i]! * this.contextLength) / tokens.trainTokens);
  }

  /** Returns what `restore` takes to go on from here. */
  state(): MixtureState {
    return { drawn: [...this.#drawn] };
  }

  /**
   * Goes on from where a mixture of the same sources and seed was.
   * @throws UserError when the state has another number of sources.
   */
  restore({ drawn }: MixtureState): void {
    if (drawn.length !== this.sources.length) {
      throw new UserError(`the saved sampler state is of ${drawn.length} sources, the run has ${this.sources.length}`);
    }
    drawn.forEach((n, i) => {
      this.#drawn[i] = n;
    });
  }
}

/** Whether a source has tokens that count more or less than others. */
export const hasWeights = (sources: readonly { readonly tokens: Pick<TokenSource, 'hasWeights'> }[]): boolean =>
  sources.some(({ tokens }) => tokens.hasWeights === true);

function faultOfWeight(weight: Weight): string | undefined {
  if (typeof weight !== 'number') return faultOfStages(weight);
  if (weight > 0 && Number.isFinite(weight)) return undefined;
  return `the weight must be a positive number, not ${weight}`;
}
