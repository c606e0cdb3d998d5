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
import { type Check, findFault, makeCheck } from './check.js';
import { flopsOf, freeTensors, makeTensors, planVariant, tensorsOf } from './subject.js';
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

/** Another variant than the shipped one must be faster by this share. */
const NOISE = 0.03;
/** A candidate that takes this many times as long as the best is dropped after one run. */
const HOPELESS = 3;
/** Rounds over all that are left, then between the fastest and the shipped one. */
const ROUNDS = 5;
const FINAL_ROUNDS = 6;
const FINALISTS = 3;
/** Of a request's time: what compiling and checking may take. */
const ADMISSION = 0.6;
/** A GPU's clock rises under load. */
const WARM_UP_MS = 20;

/** Requests with the most work of a step first. */
export const byWork = (requests: Iterable<KernelRequest>): KernelRequest[] =>
  [...requests].sort((a, b) => b.calls * flopsOf(b) - a.calls * flopsOf(a));

/**
 * Tunes requests, those with the most work first, until the time is over; what one request leaves of its share goes to
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
  const ordered = byWork(requests);
  const tuned: Tuned[] = [];
  for (const [i, request] of ordered.entries()) {
    const now = performance.now();
    if (now >= end || signal?.aborted) break;
    const share = (end - now) / (ordered.length - i);
    const isOver = (part = 1) => {
      onProgress?.(Math.min(seconds, (performance.now() - started) / 1000), request);
      return signal?.aborted === true || performance.now() >= now + part * share;
    };
    const one = await tuneRequest(device, request, candidates(device.adapter, request), isOver);
    if (one) tuned.push(one);
  }
  return tuned;
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
  request: KernelRequest,
  candidates: readonly Candidate[],
  isOver: (part?: number) => boolean,
): Promise<Tuned | undefined> {
  const failed: Outcome[] = [];
  const admitted: Contestant[] = [];
  const tensors = makeTensors(device, tensorsOf(request));
  try {
    fill(device, tensors);
    const check = makeCheck(request, candidates);
    for (const { variant, refused } of candidates) {
      if (refused !== undefined) failed.push({ variant, state: 'refused', reason: refused });
      else if (isOver(ADMISSION)) failed.push({ variant, state: 'untried' });
      else {
        const outcome = await admit(device, request, check, variant, tensors);
        if ('plan' in outcome) admitted.push(outcome);
        else failed.push(outcome);
      }
    }
    await compete(device, admitted, isOver);
    const timed = admitted.filter(({ samples }) => samples.length > 0).map(timedOutcome);
    for (const { variant, samples } of admitted) if (samples.length === 0) failed.push({ variant, state: 'untried' });
    if (timed.length === 0 || (timed.length === 1 && failed.some(({ state }) => state === 'untried'))) return undefined;
    const best = timed.reduce((a, b) => (b.milliseconds < a.milliseconds ? b : a));
    const shipped = timed.find(({ variant }) => variant === candidates[0]!.variant);
    const keeps = shipped !== undefined && best.milliseconds > (1 - NOISE) * shipped.milliseconds;
    timed.sort((a, b) => a.milliseconds - b.milliseconds);
    const { variant: winner } = keeps ? shipped : best;
    return { request, winner, shipped: candidates[0]!.variant, outcomes: [...timed, ...failed] };
  } finally {
    for (const { plan } of admitted) plan.destroy();
    freeTensors(tensors);
  }
}

const timedOutcome = ({ variant, samples }: Contestant) => ({
  variant,
  state: 'timed' as const,
  milliseconds: median(samples),
});

/** Compiles and checks a candidate; only one that is right is bound to the tensors on which it will be timed. */
async function admit(
  device: Device,
  request: KernelRequest,
  check: Check,
  variant: Variant,
  tensors: readonly Tensor[],
): Promise<Contestant | Outcome> {
  try {
    const fault = await findFault(device, check, variant);
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
      .sort((a, b) => median(a.samples) - median(b.samples))
      .slice(0, count);
  const limit = HOPELESS * fastest(1)[0]!.samples[0]!;
  const hopeful = contestants.filter(one => one === first || one.samples[0]! <= limit);
  for (let round = 0; round < ROUNDS && !isOver(); round++) await run(hopeful);
  // those that were only just too slow once are not compared by one sample with others' medians
  const finalists = [...new Set([first, ...fastest(FINALISTS)])];
  for (let round = 0; round < FINAL_ROUNDS && (round < 2 || !isOver()); round++) await run(finalists);
}
