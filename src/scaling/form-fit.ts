/** Fits any form from random starts, and resamples blocks of its points for intervals. */
import { rootMeanSquare } from '../mean.js';
import type { Random } from '../random.js';
import { type Form, FormObjective, type FormOptions, type FormParameter, type ParameterValues } from './form.js';
import { huber } from './objective.js';
import { search } from './search.js';

export interface FormFit {
  readonly values: ParameterValues;
  /** The sum of the points' Huber terms. */
  readonly objective: number;
  /** The root mean square of ln L predicted − observed. */
  readonly rms: number;
  readonly starts: number;
  readonly agreeing: number;
  readonly converged: boolean;
}

export interface StartOptions extends FormOptions {
  readonly starts: number;
  readonly random: Random;
  /** Starts beside the random ones, for instance the optimum of all points when some are resampled. */
  readonly more?: readonly ParameterValues[];
  readonly onDone?: (() => void) | undefined;
}

/** Fits a form to the losses of its points. */
export function fitForm(
  form: Form,
  losses: readonly number[],
  { starts, random, more = [], onDone, ...options }: StartOptions,
): FormFit {
  const objective = new FormObjective(form, losses, options);
  const drawn = Array.from({ length: starts }, () =>
    Float64Array.from(objective.free, j => startOf(form.parameters[j]!, random)),
  );
  const found = search(objective, [...more.map(values => objective.fromValues(values)), ...drawn], onDone);
  const residuals = Array.from(objective.residuals(found.theta));
  return {
    values: objective.toValues(found.theta),
    objective: residuals.reduce((sum, r) => sum + huber(r), 0),
    rms: rootMeanSquare(residuals),
    starts: found.starts,
    agreeing: found.agreeing,
    converged: found.converged,
  };
}

/** Returns a start in theta: a positive parameter's logarithm. */
function startOf({ kind, start: [low, high] }: FormParameter, random: Random): number {
  const [from, to] = kind === 'positive' ? [Math.log(low), Math.log(high)] : [low, high];
  return from + (to - from) * random.uniform();
}

/**
 * Draws as many blocks as there are, with replacement.
 * @param blocks which block each point belongs to
 * @returns how often each point was drawn
 */
export function drawBlocks(blocks: readonly number[], random: Random): Float64Array {
  const count = Math.max(...blocks) + 1;
  const times = new Float64Array(count);
  for (let i = 0; i < count; i++) times[random.integer(count)]!++;
  return Float64Array.from(blocks, block => times[block]!);
}
