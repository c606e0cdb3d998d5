/** The health of a run from what it wrote: its steps and, where it ran with --audit, health.jsonl. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../errors.js';
import { parseJson, readText } from '../input-files.js';
import { median } from '../median.js';
import { type RunRecord, readRun } from '../report/runs.js';
import { HEALTH_FILE, type HealthLimits, lossScaleWarnings, parameterWarnings } from '../run/health.js';
import { inWords, whyInvalid } from '../schema.js';
import type { HealthLine } from '../train/health-probe.js';

const tensorSchema = z.object({
  amax: z.number(),
  rms: z.number(),
  zeros: z.number(),
  subnormal: z.number(),
  nonFinite: z.number(),
});
const lineSchema = z.object({
  kind: z.literal('health'),
  step: z.number(),
  lossScale: z.number(),
  parameters: z.array(
    z.object({
      name: z.string(),
      weight: tensorSchema,
      gradient: tensorSchema,
      gradientToWeight: z.number(),
      updateToWeight: z.number(),
      frozen: z.boolean().optional(),
    }),
  ),
});

/** Steps in a row with one loss scale; only f16 training has one. */
export interface LossScaleSpan {
  readonly from: number;
  readonly to: number;
  readonly lossScale: number;
  /** Steps that made no update, since gradients overflowed: after each one the scale is halved. */
  readonly skipped: number;
}

export interface RunHealth {
  readonly steps: number;
  readonly lossScales: readonly LossScaleSpan[];
  readonly lines: readonly HealthLine[];
  readonly warnings: readonly string[];
}

/** Steps that a loss is compared with. */
const BEFORE = 20;

/**
 * Reads a run's folder; `spike`: a loss this many times the median of the 20 steps before is warned of.
 * @throws UserError when it is not the folder of a run.
 */
export function readRunHealth(folder: string, limits: HealthLimits, spike: number): RunHealth {
  const { steps } = readRun(folder);
  const lines = readLines(join(folder, HEALTH_FILE));
  const lossScales = lossScaleHistory(steps);
  return {
    steps: steps.length,
    lossScales,
    lines,
    warnings: [
      ...lossWarnings(steps, spike),
      ...lossScales.flatMap(({ from, lossScale }) => lossScaleWarnings({ step: from, lossScale }, limits)),
      ...lines.flatMap(line => parameterWarnings(line, limits)),
    ],
  };
}

export function lossScaleHistory(steps: RunRecord['steps']): LossScaleSpan[] {
  const spans: LossScaleSpan[] = [];
  for (const { step, lossScale, gradientNorm, skipped: reason } of steps) {
    if (lossScale === undefined) continue;
    const skipped = reason !== undefined || gradientNorm === null ? 1 : 0; // earlier runs give no reason
    const last = spans.at(-1);
    if (last?.lossScale === lossScale) spans[spans.length - 1] = { ...last, to: step, skipped: last.skipped + skipped };
    else spans.push({ from: step, to: step, lossScale, skipped });
  }
  return spans;
}

function readLines(path: string): HealthLine[] {
  if (!existsSync(path)) return [];
  const whole = readText(path).split('\n').slice(0, -1); // the last line may have been cut off
  return whole.map((line, i) => {
    try {
      return lineSchema.parse(parseJson(line), inWords);
    } catch (error) {
      throw new UserError(`'${path}', line ${i + 1} is not of a run's health: ${whyInvalid(error)}`);
    }
  });
}

export function lossWarnings(steps: RunRecord['steps'], spike: number): string[] {
  return steps.flatMap(({ step, loss, skipped }, i) => {
    if (skipped && skipped !== 'overflow') return [`step ${step} was skipped: ${skipped}`];
    const before = steps.slice(Math.max(0, i - BEFORE), i).flatMap(earlier => earlier.loss ?? []);
    if (before.length < BEFORE || loss === null) return [];
    const usual = median(before);
    if (loss <= spike * usual) return [];
    return [
      `step ${step}: the loss is ${loss.toFixed(3)}, ${(loss / usual).toFixed(2)} times that of the steps before`,
    ];
  });
}
