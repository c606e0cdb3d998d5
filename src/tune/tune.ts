/**
 * The autotuner. For each request every candidate is checked on a small case, then timed on the real sizes. All are
 * interleaved, so that a slow spell of the machine meets them all. The shipped variant is one of them, and stays unless
 * another is faster by more than noise.
 */
import { messageOf } from '../errors.js';
import type { Device } from '../gpu/device.js';
import type { KernelRequest } from '../kernels/variants.js';
import { median } from '../median.js';
import { type Candidate, candidatesFor } from './candidates.js';
import { Checker } from './check.js';
import type { Variant } from './kind.js';
import { caseOf, fillOperands, freeOperands, makeOperands, type Operands, programOf } from './subject.js';
import { type Program, timeRound } from './time.js';

/** What became of a candidate. `milliseconds` follows from the median of its rounds. */
export type Outcome =
  | { readonly variant: Variant; readonly state: 'timed'; readonly milliseconds: number }
  | { readonly variant: Variant; readonly state: 'refused' | 'wrong'; readonly reason: string }
  /** There was no time left for the variant. */
  | { readonly variant: Variant; readonly state: 'untried' };

export interface Tuned {
  readonly request: KernelRequest;
  readonly winner: Variant;
  readonly shipped: Variant;
  /** The outcomes, the fastest first, then the candidates that were not timed. */
  readonly outcomes: readonly Outcome[];
}

export interface TuneOptions {
  /** The time in all, about: a candidate that has begun is finished. */
  readonly seconds: number;
  /** Aborting this signal ends tuning early; what was finished counts. */
  readonly signal?: AbortSignal | undefined;
  /** Is told that `done` of the time in `seconds` is over, and which request is being tuned. */
  readonly onProgress?: ((done: number, request: KernelRequest) => void) | undefined;
  /** Returns other candidates than the adapter's own, the shipped one first. */
  readonly candidates?: typeof candidatesFor;
}

/** Another variant must be faster than the shipped one by this share, and faster at all in three rounds of four. */
const NOISE = 0.03;
/** A candidate that takes this many times as long as the best is dropped after one run. */
const HOPELESS = 3;
/** The number of rounds over all that are left, and below it that between the fastest and the shipped one. */
const ROUNDS = 5;
const FINAL_ROUNDS = { least: 4, most: 20, milliseconds: 1500 };
const FINALISTS = 3;
/** The share of a request's time that compiling and checking may take. */
const ADMISSION = 0.6;
/** The time that a device runs before it is timed: a GPU's clock rises under load. */
const WARM_UP_MS = 20;

/**
 * Tunes requests, those that take the most of a step first, until the time is over. What one leaves of its share goes
 * to those after it.
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
  try {
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
  } finally {
    checker.destroy();
  }
}

/**
 * Returns the milliseconds of a run of the shipped variant; next to nothing where it does not run, so that such a
 * request comes last.
 */
async function shippedTime(device: Device, request: KernelRequest, { variant, refused }: Candidate): Promise<number> {
  const UNKNOWN = 1e-6;
  if (refused !== undefined) return UNKNOWN;
  const operands = makeOperands(device, caseOf(request, variant));
  let program: Program | undefined;
  try {
    program = await programOf(device, request, variant, operands);
    await timeRound(device, [program]);
    return Math.max(UNKNOWN, (await timeRound(device, [program]))[0]!);
  } catch {
    device.check();
    return UNKNOWN;
  } finally {
    program?.destroy();
    freeOperands(operands);
  }
}

interface Contestant {
  readonly variant: Variant;
  readonly program: Program;
  /** Its time in each round so far as a share of the first contestant's in that round, which a slow spell meets too. */
  readonly shares: number[];
}

/**
 * Tunes a request.
 * @param candidates the candidates, the shipped variant first.
 * @returns undefined when there was no time to compare the shipped variant with any other.
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
  const one = caseOf(request, candidates[0]!.variant);
  const operands = makeOperands(device, one);
  try {
    fillOperands(device, one, operands);
    for (const { variant, refused } of candidates) {
      if (refused !== undefined) failed.push({ variant, state: 'refused', reason: refused });
      else if (isOver(ADMISSION)) failed.push({ variant, state: 'untried' });
      else {
        const outcome = await admit(device, checker, request, variant, operands);
        if ('program' in outcome) admitted.push(outcome);
        else failed.push(outcome);
      }
    }
    const { milliseconds, finalists } = await compete(device, admitted, isOver);
    const timed = admitted.filter(({ shares }) => shares.length > 0).sort(byShare);
    for (const { variant, shares } of admitted) if (shares.length === 0) failed.push({ variant, state: 'untried' });
    if (timed.length === 0 || (timed.length === 1 && failed.some(({ state }) => state === 'untried'))) return undefined;
    const outcomes = timed.map(({ variant, shares }) => ({
      variant,
      state: 'timed' as const,
      milliseconds: median(shares) * milliseconds,
    }));
    const shipped = candidates[0]!.variant;
    // the first contestant is the shipped variant, unless that is wrong
    const winner = finalists.sort(byShare).find(isFaster) ?? admitted[0]!;
    return { request, winner: winner.variant, shipped, outcomes: [...outcomes, ...failed] };
  } finally {
    for (const { program } of admitted) program.destroy();
    freeOperands(operands);
  }
}

const byShare = (a: Contestant, b: Contestant): number => median(a.shares) - median(b.shares);

/** Whether a contestant is faster than the first one, beyond noise. */
const isFaster = ({ shares }: Contestant): boolean =>
  median(shares) < 1 - NOISE && shares.filter(share => share < 1).length >= 0.75 * shares.length;

/** Compiles and checks a candidate; only one that is right is bound to the operands on which it will be timed. */
async function admit(
  device: Device,
  checker: Checker,
  request: KernelRequest,
  variant: Variant,
  operands: Operands,
): Promise<Contestant | Outcome> {
  try {
    const fault = await checker.findFault(request, variant);
    if (fault !== undefined) return { variant, state: 'wrong', reason: fault };
    return { variant, program: await programOf(device, request, variant, operands), shares: [] };
  } catch (error) {
    device.check(); // a lost device fails everything that comes after: that is not the candidate's alone
    return { variant, state: 'refused', reason: messageOf(error).split('\n')[0]! };
  }
}

/**
 * Lets the contestants run. Those that run out of time before their first round have none.
 * @returns the milliseconds of the first contestant, as the median of all rounds, and the best of the others, which ran
 * the most.
 */
async function compete(
  device: Device,
  contestants: readonly Contestant[],
  isOver: () => boolean,
): Promise<{ readonly milliseconds: number; readonly finalists: Contestant[] }> {
  const [first] = contestants;
  if (!first) return { milliseconds: 0, finalists: [] };
  const references: number[] = [];
  const run = async (others: readonly Contestant[]) => {
    const [reference, ...times] = await timeRound(
      device,
      [first, ...others].map(({ program }) => program),
    );
    references.push(reference!);
    first.shares.push(1);
    others.forEach(({ shares }, i) => {
      shares.push(times[i]! / Math.max(reference!, Number.MIN_VALUE));
    });
  };
  for (const until = performance.now() + WARM_UP_MS; performance.now() < until; )
    await timeRound(device, [first.program]);
  const others = contestants.slice(1);
  for (const one of others) if (!isOver()) await run([one]);
  if (references.length === 0) await run([]);
  const tried = others.filter(({ shares }) => shares.length > 0);
  const limit = HOPELESS * Math.min(1, ...tried.map(({ shares }) => shares[0]!));
  const hopeful = tried.filter(({ shares }) => shares[0]! <= limit);
  for (let round = 0; round < ROUNDS && !isOver(); round++) await run(hopeful);
  const finalists = hopeful.sort(byShare).slice(0, FINALISTS);
  const { least, most, milliseconds } = FINAL_ROUNDS;
  const enough = performance.now() + milliseconds;
  for (let round = 0; round < most && finalists.length > 0; round++) {
    if (round >= least && (isOver() || performance.now() >= enough)) break;
    await run(finalists);
  }
  return { milliseconds: median(references), finalists };
}
