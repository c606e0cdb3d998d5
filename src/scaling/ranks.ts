/**
 * How long a step takes on several ranks, by a model: what each computes, what they send each other, and what of that
 * the backward pass hides. It is a projection: constants stand here, and what a cluster really does has to be measured.
 */

export interface Cluster {
  /** The parameters of the model; each has a gradient that travels. */
  readonly parameters: number;
  readonly batchTokens: number;
  readonly contextLength: number;
  /** What one rank computes, in FLOP/s. */
  readonly flopsPerSecond: number;
  /** What one rank can send, and receive at the same time, in bytes/s. */
  readonly linkBytesPerSecond: number;
}

export interface Exchanged {
  /** The bytes of a value that travels: 4 in f32, 2 in bf16. */
  readonly valueBytes: number;
  /** The steps between exchanges; 1 where gradients are summed at each, more for DiLoCo, which nothing hides. */
  readonly every: number;
}

export interface StepTime {
  readonly ranks: number;
  /** The bytes that a rank sends, a step on average. */
  readonly sentBytes: number;
  readonly computeSeconds: number;
  /** The seconds of the exchange that the device waits for. */
  readonly exposedSeconds: number;
  readonly seconds: number;
  /** How much faster than one rank, over the number of ranks. */
  readonly efficiency: number;
}

/** What gradients cost on their way through the host, which WebGPU offers no way around, in bytes/s each. */
const READ_BACK = 10e9;
const SUMMED = 4e9;
/** The seconds that rounding to bf16 and back takes a value, on one core of the host; measured on an AMD EPYC. */
const ROUNDED_SECONDS = 10e-9;
/** The time of one message between machines. A rank sends to all others twice. */
const LATENCY_SECONDS = 5e-6;
/** ParameterValues that are exchanged at once (see parallel/all-reduce.ts). */
const CHUNK = 2 ** 22;
/** The share of a step's FLOPs that the backward pass has, behind which an exchange can hide. */
const BACKWARD = 2 / 3;
/** What is ready only when the backward pass ends: the last bucket (see train/buckets.ts). */
const LAST_BUCKET_BYTES = 25 * 2 ** 20;

/** Returns the most ranks that can share a step, a sequence each. */
export const mostRanks = ({ batchTokens, contextLength }: Cluster): number => Math.floor(batchTokens / contextLength);

/** Returns the seconds of an exchange of all parameters, from the first value read back to the last one written. */
export function exchangeSeconds(
  { parameters, linkBytesPerSecond }: Pick<Cluster, 'parameters' | 'linkBytesPerSecond'>,
  ranks: number,
  valueBytes: number,
): number {
  if (ranks === 1) return 0;
  const rounding = valueBytes < 4 ? ROUNDED_SECONDS * parameters : 0;
  const throughHost = (2 * 4 * parameters) / READ_BACK + (4 * parameters) / SUMMED + rounding;
  const wire = sentBytes(parameters, ranks, valueBytes) / linkBytesPerSecond;
  const messages = 2 * (ranks - 1) * Math.ceil(parameters / CHUNK);
  return throughHost + wire + messages * LATENCY_SECONDS;
}

/** A rank sends the pieces of all others, then its own sums to each of them. */
const sentBytes = (parameters: number, ranks: number, valueBytes: number): number =>
  (2 * (ranks - 1) * parameters * valueBytes) / ranks;

/** Returns the time of a step of 6·N FLOPs a token. */
export function stepTime(cluster: Cluster, ranks: number, { valueBytes, every }: Exchanged): StepTime {
  const { parameters, batchTokens, flopsPerSecond } = cluster;
  const alone = (6 * parameters * batchTokens) / flopsPerSecond;
  const computeSeconds = alone / ranks;
  const exchange = exchangeSeconds(cluster, ranks, valueBytes);
  const last = exchange * Math.min(1, LAST_BUCKET_BYTES / (4 * parameters));
  const exposedSeconds = every > 1 ? exchange / every : Math.max(last, exchange - BACKWARD * computeSeconds);
  const seconds = computeSeconds + exposedSeconds;
  return {
    ranks,
    sentBytes: sentBytes(parameters, ranks, valueBytes) / every,
    computeSeconds,
    exposedSeconds,
    seconds,
    efficiency: alone / (ranks * seconds),
  };
}
