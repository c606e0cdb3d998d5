/**
 * The part of `plan` that predicts the end of a run by a law of whole curves: under a schedule, or from its beginning.
 */
import { UserError } from '../errors.js';
import { learningRateAt, type ScheduleSettings, validateSchedule } from '../optim/schedule.js';
import { readRun } from '../report/runs.js';
import { defaults } from '../run/config.js';
import type { LossCurve } from '../scaling/curve.js';
import { parseCurveFit } from '../scaling/curve-fit.js';
import { curveLaws } from '../scaling/curve-laws.js';
import { type PredictedEnd, predictEnd } from '../scaling/curve-plan.js';
import type { CommandResult, Terminal } from './command.js';
import { isRun, readCurve } from './fit-curves.js';

export interface ScheduleOptions extends Partial<ScheduleSettings> {
  steps?: number;
  law: string;
  parameters?: number;
  column?: Record<string, string>;
}

/** Whether the JSON of a fit is one of whole curves. */
export const isCurveFit = (fit: unknown): boolean =>
  (curveLaws as readonly unknown[]).includes((fit as { law?: unknown } | null | undefined)?.law);

/**
 * Predicts the end of a run.
 * @param json what the file of the fit holds
 * @param beginning the run, or the curve, whose first part is known
 */
export function planSchedule(
  terminal: Terminal,
  options: ScheduleOptions,
  json: unknown,
  beginning?: string,
): CommandResult {
  const { law, column, parameters } = options;
  const fit = parseCurveFit(json, law);
  const known = beginning === undefined ? undefined : readCurve(beginning, column);
  const rates = ratesOf(options, known, beginning);
  const size = parameters ?? known?.parameters;
  if (fit.sized && size === undefined) throw new UserError(`'${law}' has a term of N: give --parameters`);
  const end = predictEnd(fit, rates, { ...(known && { known: known.rows }), ...(size && { parameters: size }) });
  printEnd(terminal, law, end);
  return { law, ...end };
}

/** Returns the rates of the whole run; those of a known part are as they were. */
function ratesOf(options: ScheduleOptions, known: LossCurve | undefined, beginning: string | undefined): Float64Array {
  const planned = plannedOf(options, beginning);
  const logged = known?.rates ?? new Float64Array(0);
  if (planned.steps <= logged.length) {
    throw new UserError(`'${beginning}' has ${logged.length} steps already, and ${planned.steps} are planned in all`);
  }
  validateSchedule(planned.settings);
  return Float64Array.from({ length: planned.steps }, (_, i) =>
    i < logged.length ? logged[i]! : learningRateAt(planned.settings, i + 1, planned.steps),
  );
}

function plannedOf(
  { schedule, steps, learningRate, ...shares }: ScheduleOptions,
  beginning: string | undefined,
): { settings: ScheduleSettings; steps: number } {
  if (schedule !== undefined) {
    if (steps === undefined || learningRate === undefined) {
      throw new UserError('--schedule needs --steps, all of the run, and --learning-rate, its peak');
    }
    const settings: ScheduleSettings = {
      schedule,
      learningRate,
      warmup: shares.warmup ?? defaults.warmup,
      minLearningRateRatio: shares.minLearningRateRatio ?? defaults.minLearningRateRatio,
      decay: shares.decay ?? defaults.decay,
      cooldown: shares.cooldown ?? defaults.cooldown,
      constantLearningRateRatio: shares.constantLearningRateRatio ?? defaults.constantLearningRateRatio,
      cooldownShape: shares.cooldownShape ?? defaults.cooldownShape,
      annealShape: shares.annealShape ?? defaults.annealShape,
    };
    return { settings, steps };
  }
  if (beginning === undefined) {
    throw new UserError('a law of whole curves plans the end of a run: give --schedule, or the run whose end is meant');
  }
  if (!isRun(beginning))
    throw new UserError(`'${beginning}' is no run, and does not say how it goes on: give --schedule`);
  const { config } = readRun(beginning);
  return {
    settings: config.schedule as unknown as ScheduleSettings,
    steps: Math.round(config.tokens / config.batchTokens),
  };
}

function printEnd(terminal: Terminal, law: string, { step, loss, interval, S1, S2, known, warnings }: PredictedEnd) {
  const from = known ? `, from its first ${known.step} steps` : '';
  terminal.print(
    `loss ${loss.toFixed(4)} (95%: ${interval.map(value => value.toFixed(4)).join(' … ')}) after ${step} steps by ` +
      `'${law}'${from}; S1 ${S1.toPrecision(4)}, S2 ${S2.toPrecision(4)}`,
  );
  for (const warning of warnings) terminal.print(`warning: ${warning}`);
}
