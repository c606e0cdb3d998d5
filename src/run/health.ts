/** The health of a run: where it is written, and what is wrong with what gradients, weights and updates look like. */
import { UserError } from '../errors.js';
import type { HealthLine, ParameterHealth } from '../train/health-probe.js';
import type { ResolvedRun } from './resolved.js';

/** The file in the run's folder that has a HealthLine on each line. */
export const HEALTH_FILE = 'health.jsonl';

/** The limits beyond which a warning is given. */
export interface HealthLimits {
  /** Updates this large undo what was learnt; 1e-3 is usual. */
  readonly maxUpdateToWeight: number;
  /** Updates this small change nothing in f32. */
  readonly minUpdateToWeight: number;
  readonly maxGradientToWeight: number;
  /**
   * The share of a gradient's values that are 0: dead units, or underflow in f16. An embedding's rows may be unused.
   */
  readonly maxZeros: number;
  /** The share of a gradient's values below the smallest normal number. */
  readonly maxSubnormal: number;
  /** The loss scale in f16 below which little is left of small gradients. */
  readonly minLossScale: number;
}

/** How a run watches itself. */
export interface HealthOptions {
  /** The number of steps from one look to the next. */
  readonly every: number;
  readonly limits: HealthLimits;
}

/** Checks that a run can be watched. @throws UserError when its moments are not on the device. */
export function checkWatched({ offload }: ResolvedRun, health: HealthOptions | undefined): void {
  if (!health || offload === 'none') return;
  throw new UserError('--audit sees moments on the device: leave it out, or start the run without offload moments');
}

/** How far the ratio of a first update to the weights that it made may be off from 1: moments in 8 bits are rounded. */
const FIRST_UPDATE = 0.1;

export const HEALTH_LIMITS: HealthLimits = {
  maxUpdateToWeight: 0.1,
  minUpdateToWeight: 1e-7,
  maxGradientToWeight: 100,
  maxZeros: 0.5,
  maxSubnormal: 0.01,
  minLossScale: 16,
};

/** Says in words what is beyond a limit. */
export const healthWarnings = (line: HealthLine, limits: HealthLimits): string[] => [
  ...parameterWarnings(line, limits),
  ...lossScaleWarnings(line, limits),
];

/** Warns of a small loss scale. f32 runs have a loss scale of 1. */
export function lossScaleWarnings(
  { step, lossScale }: Pick<HealthLine, 'step' | 'lossScale'>,
  { minLossScale }: HealthLimits,
): string[] {
  if (lossScale === 1 || lossScale >= minLossScale) return [];
  return [`step ${step}: the loss scale is ${lossScale} (at least ${minLossScale})`];
}

export function parameterWarnings({ step, parameters }: HealthLine, limits: HealthLimits): string[] {
  const warnings: string[] = [];
  const warn = (name: string, what: string, value: number, limit: string) =>
    warnings.push(`step ${step}: ${name}: ${what} is ${Number(value.toPrecision(3))} (${limit})`);
  for (const parameter of parameters) {
    const { name, weight, gradient, gradientToWeight, updateToWeight, frozen } = parameter;
    const waits = waitsForB(parameter, parameters);
    const { maxUpdateToWeight, minUpdateToWeight, maxGradientToWeight, maxZeros, maxSubnormal } = limits;
    for (const [kind, { nonFinite }] of [
      ['weights', weight],
      ['gradients', gradient],
    ] as const) {
      if (nonFinite > 0) warn(name, `the number of ${kind} that are not finite`, nonFinite, 'at most 0');
    }
    if (updateToWeight > maxUpdateToWeight && !growsFromZero(name)) {
      warn(name, 'update to weight', updateToWeight, `at most ${maxUpdateToWeight}`);
    }
    // right after the start the learning rate warms up from nothing, and weights may be 0
    if (updateToWeight < minUpdateToWeight && weight.rms > 0 && !frozen && !waits) {
      warn(name, 'update to weight', updateToWeight, `at least ${minUpdateToWeight}`);
    }
    if (gradientToWeight > maxGradientToWeight && !growsFromZero(name)) {
      warn(name, 'gradient to weight', gradientToWeight, `at most ${maxGradientToWeight}`);
    }
    if (gradient.zeros > maxZeros && !name.includes('embed_tokens') && !waits) {
      warn(name, 'the share of gradients that are 0', gradient.zeros, `at most ${maxZeros}`);
    }
    if (gradient.subnormal > maxSubnormal) {
      warn(name, 'the share of subnormal gradients', gradient.subnormal, `at most ${maxSubnormal}`);
    }
  }
  return warnings;
}

const isB = (name: string): boolean => name.endsWith('.lora_B.weight');
/** Whether a parameter is 0 at first, in adapters or in a new model: its first updates are all that it is. */
const growsFromZero = (name: string): boolean => isB(name) || name.endsWith('.bias');

/**
 * Whether a parameter is the A of an adapter whose B was 0 in this step, so that A had no gradient. B is 0 still, where
 * the step was skipped, or no more than its first update.
 */
function waitsForB({ name, gradient }: ParameterHealth, all: readonly ParameterHealth[]): boolean {
  if (!name.endsWith('.lora_A.weight') || gradient.amax > 0) return false;
  const b = all.find(other => isB(other.name) && other.name === name.replace(/A\.weight$/, 'B.weight'));
  return b !== undefined && (b.weight.rms === 0 || Math.abs(b.updateToWeight - 1) < FIRST_UPDATE);
}
