/**
 * The autotuner. Of each request every candidate is checked on a small case, then timed on the real sizes, all of them
 * interleaved, so that a slow spell of the machine meets them all. The shipped variant is one of them, and stays unless
 * another is faster by more than noise.
 */
import type { Plan } from '../autograd/plan.js';
import type { Tensor } from '../autograd/tensor.js';
import { messageOf } from '../errors.js';
import type { Device } from '../gpu/device.js';
import type { KernelRequest } from '../kernels/table.js';
import { type Candidate, candidatesFor, type Variant } from './candidates.js';
import { Checker } from './check.js';
import { freeTensors, makeTensors, planVariant, tensorsOf } from './subject.js';
import { fill, median, timeRound } from './time.js';

/** What became of a candidate. `milliseconds`: the median of its runs. */
export type Outcome =
  | { readonly variant: Variant; readonly state: 'timed'; readonly milliseconds: number }
  | { readonly variant: Variant; readonly state: 'refused' | 'wrong'; readonly reason: string }
  /** There was no time left for it. */
  | { readonly variant: Variant; readonly state: 'untried' };

export interface Tuned {
  readonly request: KernelRequest;
  readonly winner: Variant;
  readonly shipped: Variant;
  /** Fastest first, then what was not timed. */
  readonly outcomes: readonly Outcome[];
}

export interface TuneOptions {
  /** Time in all, about: a candidate that has begun is finished. */
  readonly seconds: number;
  /** Ends tuning early; what was finished counts. */
  readonly signal?: AbortSignal | undefined;
  /** `done` of the time in `seconds`, and the request that is being tuned. */
  readonly onProgress?: ((done: number, request: KernelRequest) => void) | undefined;
  /** Other candidates than the adapter's own, the shipped one first. */
  readonly candidates?: typeof candidatesFor;
}

/** Another variant than the shipped one must be faster by this share, in its median and in its fastest run. */
const NOISE = 0.03;
/** A candidate that takes this many times as long as the best is dropped after one run. */
const HOPELESS = 3;
/** Rounds over all that are left, then between the fastest and the shipped one. */
const ROUNDS = 5;
const FINAL_ROUNDS = { least: 2, most: 20, milliseconds: 1500 };
const FINALISTS = 3;
/** Of a request's time: what compiling and checking may take. */
const ADMISSION = 0.6;
/** A GPU's clock rises under load. */
const WARM_UP_MS = 20;

/**
 * Tunes requests, those that take the most of a step first, until the time is over; what one leaves of its share goes to
 * those after it.
 * @returns the requests that were reached.
 */
export async function tune(
  device: Device,
  requests: Iterable<KernelRequest>,
  { seconds, signal, onProgress, candidates = candidatesFor }: TuneOptions,
): Promise<Tuned[]> {
  const started = performance.now();
  const end = started + 1000 * seconds;
  const ticking = (request: KernelRequest, until: number) => {
    onProgress?.(Math.min(seconds, (performance.now() - started) / 1000), request);
    return signal?.aborted === true || performance.now() >= until;
  };
  const waiting: { request: KernelRequest; candidates: readonly Candidate[]; cost: number }[] = [];
  for (const request of requests) {
    if (ticking(request, end)) break;
    const all = candidates(device.adapter, request);
    waiting.push({ request, candidates: all, cost: request.calls * (await shippedTime(device, request, all[0]!)) });
  }
  waiting.sort((a, b) => b.cost - a.cost);
  const checker = new Checker(device);
  const tuned: Tuned[] = [];
  for (let one = waiting.shift(); one && !ticking(one.request, end); one = waiting.shift()) {
    const now = performance.now();
    // half of the time by cost, half of it alike
    const costs = waiting.reduce((sum, { cost }) => sum + cost, one.cost);
    const share = ((end - now) * (one.cost / costs + 1 / (waiting.length + 1))) / 2;
    const { request } = one;
    const isOver = (part = 1) => ticking(request, now + part * share);
    const result = await tuneRequest(device, checker, request, one.candidates, isOver);
    if (result) tuned.push(result);
  }
  return tuned;
}

/** Milliseconds of a run of the shipped variant; next to nothing where it does not run, so that such a request is last. */
async function shippedTime(device: Device, request: KernelRequest, { variant, refused }: Candidate): Promise<number> {
  const UNKNOWN = 1e-6;
  if (refused !== undefined) return UNKNOWN;
  const tensors = makeTensors(device, tensorsOf(request));
  let planned: Plan | undefined;
  try {
    planned = await planVariant(device, request, variant, tensors);
    await timeRound(device, [planned]);
    return Math.max(UNKNOWN, (await timeRound(device, [planned]))[0]!);
  } catch {
    device.check();
    return UNKNOWN;
  } finally {
    planned?.destroy();
    freeTensors(tensors);
  }
}

interface Contestant {
  readonly variant: Variant;
  readonly plan: Plan;
  /** Milliseconds of each round so far. */
  readonly samples: number[];
}

/**
 * @param candidates the shipped variant first.
 * @returns undefined when there was no time to compare it with any other.
 */
async function tuneRequest(
  device: Device,
  checker: Checker,
  request: KernelRequest,
  candidates: readonly Candidate[],
  isOver: (part?: number) => boolean,
): Promise<Tuned | undefined> {
  const failed: Outcome[] = [];
  const admitted: Contestant[] = [];
  const tensors = makeTensors(device, tensorsOf(request));
  try {
    fill(device, tensors);
    for (const { variant, refused } of candidates) {
      if (refused !== undefined) failed.push({ variant, state: 'refused', reason: refused });
      else if (isOver(ADMISSION)) failed.push({ variant, state: 'untried' });
      else {
        const outcome = await admit(device, checker, request, variant, tensors);
        if ('plan' in outcome) admitted.push(outcome);
        else failed.push(outcome);
      }
    }
    await compete(device, admitted, isOver);
    const timed = admitted.filter(({ samples }) => samples.length > 0);
    for (const { variant, samples } of admitted) if (samples.length === 0) failed.push({ variant, state: 'untried' });
    if (timed.length === 0 || (timed.length === 1 && failed.some(({ state }) => state === 'untried'))) return undefined;
    timed.sort(byMedian);
    const shipped = timed.find(({ variant }) => variant === candidates[0]!.variant);
    const winner = shipped ? (timed.find(one => isFaster(one, shipped)) ?? shipped) : timed[0]!;
    const outcomes = timed.map(({ variant, samples }) => ({
      variant,
      state: 'timed' as const,
      milliseconds: median(samples),
    }));
    return { request, winner: winner.variant, shipped: candidates[0]!.variant, outcomes: [...outcomes, ...failed] };
  } finally {
    for (const { plan } of admitted) plan.destroy();
    freeTensors(tensors);
  }
}

const byMedian = (a: Contestant, b: Contestant): number => median(a.samples) - median(b.samples);

/** Beyond noise. One that dropped out early has too few runs to say so. */
const isFaster = (one: Contestant, shipped: Contestant): boolean =>
  one.samples.length === shipped.samples.length &&
  median(one.samples) < (1 - NOISE) * median(shipped.samples) &&
  Math.min(...one.samples) < (1 - NOISE) * Math.min(...shipped.samples);

/** Compiles and checks a candidate; only one that is right is bound to the tensors on which it will be timed. */
async function admit(
  device: Device,
  checker: Checker,
  request: KernelRequest,
  variant: Variant,
  tensors: readonly Tensor[],
): Promise<Contestant | Outcome> {
  try {
    const fault = await checker.findFault(request, variant);
    if (fault !== undefined) return { variant, state: 'wrong', reason: fault };
    return { variant, plan: await planVariant(device, request, variant, tensors), samples: [] };
  } catch (error) {
    device.check(); // a lost device fails everything that comes after: that is not the candidate's alone
    return { variant, state: 'refused', reason: messageOf(error).split('\n')[0]! };
  }
}

/** Adds samples to the contestants. Those that run out of time before their first one have none. */
async function compete(device: Device, contestants: readonly Contestant[], isOver: () => boolean): Promise<void> {
  const [first] = contestants;
  if (!first) return;
  const run = async (some: readonly Contestant[]) => {
    const times = await timeRound(
      device,
      some.map(({ plan }) => plan),
    );
    some.forEach(({ samples }, i) => {
      samples.push(times[i]!);
    });
  };
  for (const until = performance.now() + WARM_UP_MS; performance.now() < until; ) await timeRound(device, [first.plan]);
  for (const one of contestants) if (one === first || !isOver()) await run([one]);
  const fastest = (count: number) =>
    contestants
      .filter(({ samples }) => samples.length > 0)
      .sort(byMedian)
      .slice(0, count);
  const limit = HOPELESS * fastest(1)[0]!.samples[0]!;
  const hopeful = contestants.filter(one => one === first || one.samples[0]! <= limit);
  for (let round = 0; round < ROUNDS && !isOver(); round++) await run(hopeful);
  const finalists = [...new Set([first, ...fastest(FINALISTS)])];
  const { least, most, milliseconds } = FINAL_ROUNDS;
  const enough = performance.now() + milliseconds;
  for (let round = 0; round < most; round++) {
    if (round >= least && (isOver() || performance.now() >= enough)) break;
    await run(finalists);
  }
}
