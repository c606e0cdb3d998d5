/** How much to replay under a limit on the source language's loss, and what it costs, accounted for in both ways. */
import { allocate } from './allocation.js';
import { figure } from './figure.js';
import { type LawParameters, lossAt } from './law.js';
import type { MixtureLaw } from './mixture.js';
import type { Point } from './points.js';
import { fitReplay, leastReplay, leastReplayInterval, type ReplayCurve, sourceLossAt } from './replay.js';

/** A run's target and source tokens, and the target loss that the CPT law gives for the target tokens alone. */
export interface ReplayRun {
  readonly N: number;
  readonly tokens: number;
  readonly targetTokens: number;
  readonly replayedTokens: number;
  readonly flops: number;
  readonly loss: number;
}

export interface ReplayPlan {
  readonly curve: ReplayCurve;
  readonly limit: number;
  /** The share of replay; null where no measured ratio keeps to the limit. */
  readonly replay: number | null;
  /** Its 95% interval, by refits to resampled runs; null where the law has no sizes. */
  readonly replayInterval: readonly [number, number] | null;
  readonly sourceLoss: number | null;
  /** The run whose replay comes out of the same compute. */
  readonly sameCompute: ReplayRun | null;
  /** The run that has the plan's target tokens, with replay on top. */
  readonly extraTokens: ReplayRun | null;
  readonly warnings: readonly string[];
}

/**
 * Plans replay for CPT with C FLOPs, at the optimum or with `fixed` parameters. The target loss depends on target
 * tokens alone here, as Zheng et al. (2024) find for shares of 1% to 80%. Out of the same compute a share r leaves (1 −
 * r)·C for the target, whose best split is the optimum of that compute.
 * @throws UserError when the points cannot fix the curve
 */
export function planReplay(
  points: readonly Point[],
  limit: number,
  law: LawParameters,
  C: number,
  fixed?: number,
  mixture?: MixtureLaw,
): ReplayPlan {
  const split = (compute: number) => {
    if (fixed !== undefined) return { N: fixed, D: compute / (6 * fixed) };
    const { N_opt, D_opt } = allocate(law, compute);
    return { N: N_opt, D: D_opt };
  };
  const whole = split(C);
  const curve = fitReplay(points, whole.N, mixture);
  const replay = leastReplay(curve, limit);
  const { interval: replayInterval, without } = leastReplayInterval(curve, limit);
  const warnings = [
    ...warningsOf(curve, whole, limit, replay),
    ...(without > 0
      ? [
          `in ${without} of the ${curve.mixture!.samples.length} refits no measured replay keeps to the limit: the ` +
            'interval of replay leaves them out',
        ]
      : []),
  ];
  if (replay === undefined || replay >= 1) {
    const none = { replay: null, replayInterval: null, sourceLoss: null, sameCompute: null, extraTokens: null };
    return { curve, limit, ...none, warnings };
  }
  const runOf = ({ N, D }: { N: number; D: number }): ReplayRun => {
    const tokens = D / (1 - replay);
    return { N, tokens, targetTokens: D, replayedTokens: tokens - D, flops: 6 * N * tokens, loss: lossAt(law, N, D) };
  };
  return {
    curve,
    limit,
    replay,
    replayInterval,
    sourceLoss: sourceLossAt(curve, replay),
    sameCompute: runOf(split((1 - replay) * C)),
    extraTokens: runOf(whole),
    warnings,
  };
}

function warningsOf(
  curve: ReplayCurve,
  { N, D }: { N: number; D: number },
  limit: number,
  replay: number | undefined,
): string[] {
  const [low, high] = curve.replay;
  const [shortest, longest] = curve.tokensPerParameter;
  const warnings: string[] = [];
  if (!(sourceLossAt(curve, low) > sourceLossAt(curve, high)))
    warnings.push('the source loss does not fall with replay in these points: the curve means nothing');
  if (replay === undefined) {
    warnings.push(
      `no measured replay keeps the source loss within ${limit}: at the largest, ${high}, the curve has ` +
        `${sourceLossAt(curve, high).toFixed(4)}; measure larger shares, or allow more`,
    );
  } else if (replay === low) {
    warnings.push(`the least replay measured, ${low}, already keeps to the limit; less was not measured`);
  }
  if (curve.sizes) {
    const [least, most] = curve.sizes;
    if (N < least * (1 - 1e-9) || N > most * (1 + 1e-9)) {
      warnings.push(
        `extrapolation: the law of replay has sizes from ${figure(least)} to ${figure(most)} parameters, and the ` +
          `plan has ${figure(N)}`,
      );
    }
  } else if (Math.abs(Math.log(N / curve.parameters)) > Math.log(1.5)) {
    warnings.push(
      `the replay curve was measured with ${figure(curve.parameters)} parameters and the plan has ${figure(N)}: ` +
        'smaller models forget more',
    );
  }
  if (D / N > 1.5 * longest || D / N < shortest / 1.5) {
    const measured =
      figure(shortest) === figure(longest) ? figure(longest) : `${figure(shortest)} to ${figure(longest)}`;
    warnings.push(
      `the replay curve was measured after ${measured} tokens per parameter and the plan has ${figure(D / N)}: ` +
        'forgetting changes along a run',
    );
  }
  return warnings;
}
