/** A law of whole loss curves fitted to some, with intervals; what it predicts for another schedule. */
import { z } from 'zod';
import { UserError } from '../errors.js';
import { mean } from '../mean.js';
import { Random } from '../random.js';
import { inWords, whyInvalid } from '../schema.js';
import { interval } from './bootstrap.js';
import { ANNEALING_DECAY, type LossCurve } from './curve.js';
import { type CurveLaw, curveForm, curveLaws } from './curve-laws.js';
import { type CurveOptions, pointsOfCurves, type SummedPoint } from './curve-points.js';
import { directionsOf } from './diagnosis.js';
import { figure } from './figure.js';
import { type Form, FormObjective, type ParameterValues, predictAll } from './form.js';
import { drawBlocks, type FormFit, fitForm } from './form-fit.js';
import { LARGEST_EXPONENT } from './objective.js';
import { counting, type OnProgress } from './search.js';

const values = z.record(z.string(), z.number());
const span = z.tuple([z.number(), z.number()]);
export const curveFitSchema = z.object({
  law: z.enum(curveLaws),
  parameters: values,
  /** λ of the annealing area. */
  decay: z.number(),
  /** S1 of the source model's training and its last rate, for a law of CPT. */
  source: z.object({ S1: z.number(), rate: z.number() }).nullable(),
  /** Whether N is in the law. */
  sized: z.boolean(),
  /** The bootstrap's refits. */
  samples: z.array(values),
  /** The root mean square of ln L predicted − observed. */
  rms: z.number(),
  /**
   * What the law predicts of each curve when it is fitted to the others: the mean relative error of its rows, and the
   * error at its end. Empty where there are fewer than three curves.
   */
  leftOut: z.array(z.object({ curve: z.string(), error: z.number(), atEnd: z.number() })),
  /** Parameters that could as well have other values. */
  open: z.array(z.string()),
  range: z.object({ S1: span, parameters: span }),
});

export interface CurveFit extends z.infer<typeof curveFitSchema> {
  readonly intervals: Readonly<Record<string, readonly [number, number] | null>>;
  readonly objective: number;
  readonly points: number;
  readonly curves: readonly string[];
  readonly starts: number;
  readonly agreeing: number;
  readonly converged: boolean;
  readonly warnings: readonly string[];
}

export interface CurveFitOptions {
  readonly replicates: number;
  readonly seed: number;
  /** λ; without one, that of `DECAYS` with which the curves are described best. */
  readonly decay?: number | undefined;
  readonly source?: CurveOptions['source'] | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** What λ is chosen from: memories of 100 to 1000 steps. */
const DECAYS = [0.99, 0.995, 0.998, ANNEALING_DECAY];
const STARTS = 20;
/** The starts of a fit without one of the curves, beside the optimum of all. */
const LEFT_OUT_STARTS = 3;
/** Neighbouring rows of a curve share their luck, so that a tenth of a curve is drawn at a time. */
const BLOCKS_PER_CURVE = 10;

/**
 * Fits a law to curves.
 * @throws UserError when they have too few rows, or sizes are missing or too few
 */
export function fitCurves(law: CurveLaw, curves: readonly LossCurve[], options: CurveFitOptions): CurveFit {
  const { replicates, seed, source, onProgress } = options;
  checkCurves(law, curves, source);
  const sized = isSized(curves);
  const decays = options.decay !== undefined ? [options.decay] : law === 'multi-power' ? [ANNEALING_DECAY] : DECAYS;
  const onDone = counting(
    decays.length * STARTS + replicates + (curves.length > 2 ? (LEFT_OUT_STARTS + 1) * curves.length : 0),
    onProgress,
  );
  const tried = decays.map(decay => {
    const points = pointsOfCurves(curves, { decay, ...(source && { source }) });
    const form = curveForm(law, points.flat(), source, sized);
    const losses = points.flat().map(({ loss }) => loss);
    if (losses.length < form.parameters.length) {
      throw new UserError(
        `${losses.length} rows after warm-up cannot fix ${form.parameters.length} parameters ` +
          `(${form.parameters.map(({ name }) => name).join(', ')}): give longer curves, or more`,
      );
    }
    const fit = fitForm(form, losses, { starts: STARTS, random: new Random(seed, 'curves'), onDone });
    return { decay, points, form, losses, fit };
  });
  const best = tried.reduce((least, each) => (each.fit.objective < least.fit.objective ? each : least));
  const { decay, points, form, losses, fit } = best;
  const blocks = points.flatMap((rows, c) =>
    rows.map((_, i) => BLOCKS_PER_CURVE * c + Math.floor((BLOCKS_PER_CURVE * i) / rows.length)),
  );
  const samples = Array.from({ length: replicates }, (_, r) => {
    const weights = drawBlocks(blocks, new Random(seed, 'bootstrap', r));
    const more = [fit.values];
    return fitForm(form, losses, { starts: 0, random: new Random(seed), more, weights, onDone }).values;
  });
  const { open, warnings } = diagnosed(form, losses, fit);
  return {
    law,
    parameters: fit.values,
    decay,
    source: source ?? null,
    sized,
    intervals: Object.fromEntries(
      Object.keys(fit.values).map(name => [name, interval(samples.map(sample => sample[name]!)) ?? null]),
    ),
    samples,
    objective: fit.objective,
    rms: fit.rms,
    leftOut: curves.length > 2 ? leaveOut(law, curves, points, best, options, onDone) : [],
    points: losses.length,
    curves: curves.map(({ name }) => name),
    starts: fit.starts,
    agreeing: fit.agreeing,
    converged: fit.converged,
    open,
    range: rangeOf(points.flat()),
    warnings,
  };
}

/** Fits the law to all curves but one, and compares what it predicts of that one. */
function leaveOut(
  law: CurveLaw,
  curves: readonly LossCurve[],
  points: readonly SummedPoint[][],
  { fit }: { readonly fit: FormFit },
  { seed, source }: CurveFitOptions,
  onDone: () => void,
): CurveFit['leftOut'] {
  const sized = isSized(curves);
  return curves.map(({ name }, c) => {
    const others = points.filter((_, i) => i !== c).flat();
    const form = curveForm(law, others, source, sized);
    const random = new Random(seed, 'left out', c);
    const options = { starts: LEFT_OUT_STARTS, random, more: [fit.values], onDone };
    const { values } = fitForm(
      form,
      others.map(({ loss }) => loss),
      options,
    );
    const errors = predictAll(curveForm(law, points[c]!, source, sized), values).map(
      (loss, i) => loss / points[c]![i]!.loss - 1,
    );
    const tail = errors.slice(-Math.max(1, Math.round(errors.length / 20)));
    return { curve: name, error: mean(errors.map(Math.abs)), atEnd: mean(tail) };
  });
}

/** Whether N is in the law of these curves. */
const isSized = (curves: readonly LossCurve[]): boolean => new Set(curves.map(({ parameters }) => parameters)).size > 1;

function checkCurves(law: CurveLaw, curves: readonly LossCurve[], source: CurveOptions['source']): void {
  if ((law === 'annealing-cpt') !== (source !== undefined)) {
    throw new UserError(
      'the law annealing-cpt, and no other, goes on from the S1 and the rate of its source: ' +
        'name the curve of its training with --source',
    );
  }
  const sized = isSized(curves);
  const without = curves.find(({ parameters }) => parameters === undefined);
  if (sized && without) {
    throw new UserError(`'${without.name}' does not say its size and other curves do: add a column 'parameters'`);
  }
  if (law === 'annealing-cpt' && sized) {
    throw new UserError('the law annealing-cpt has no term of N: fit the curves of one size');
  }
}

/** Says what the curves leave open. */
function diagnosed(form: Form, losses: readonly number[], fit: FormFit): { open: string[]; warnings: string[] } {
  const objective = new FormObjective(form, losses);
  const theta = objective.fromValues(fit.values);
  const names = form.parameters.map(({ name }) => name);
  const { undetermined } = directionsOf(objective.jacobian(theta), objective.residuals(theta), names);
  const ends = form.parameters.flatMap(({ name, kind }) =>
    kind === 'exponent' && Math.abs(fit.values[name]!) >= LARGEST_EXPONENT ? [name] : [],
  );
  const moved = new Set([...undetermined.flatMap(({ direction }) => Object.keys(direction)), ...ends]);
  const open = names.filter(name => moved.has(name));
  return {
    open,
    warnings: [
      ...(open.length > 0
        ? [
            `the curves leave ${open.join(', ')} open: other values describe them as well; add curves whose rate ` +
              'falls elsewhere, and to another end',
          ]
        : []),
      ...ends.map(name => `${name} ran to ${figure(fit.values[name]!)}, the end of its search`),
      ...(fit.converged ? [] : ['the best start did not converge: the curves leave the optimum flat']),
    ],
  };
}

function rangeOf(points: readonly SummedPoint[]): CurveFit['range'] {
  const spanOf = (list: readonly number[]): [number, number] => [
    list.reduce((a, b) => Math.min(a, b)),
    list.reduce((a, b) => Math.max(a, b)),
  ];
  return { S1: spanOf(points.map(({ S1 }) => S1)), parameters: spanOf(points.map(({ parameters }) => parameters)) };
}

/** The part of a fit that predictions are made with. */
export type CurvePredictor = Pick<CurveFit, 'law' | 'parameters' | 'decay' | 'source' | 'sized'>;

/** Returns the losses that a fit predicts at a curve's rows, those of its warm-up left out: [rows]. */
export function predictCurve(
  { law, parameters, decay, source, sized }: CurvePredictor,
  curve: LossCurve,
  sample: ParameterValues = parameters,
): number[] {
  const points = pointsOfCurves([curve], { decay, ...(source && { source }) }).flat();
  return predictAll(curveForm(law, points, source ?? undefined, sized), sample);
}

/** Reads a fit of curves from what `fit --json` printed. @throws UserError naming the file and what is wrong with it */
export function parseCurveFit(value: unknown, file: string): z.infer<typeof curveFitSchema> {
  const parsed = curveFitSchema.safeParse(value, inWords);
  if (parsed.success) return parsed.data;
  throw new UserError(`'${file}' is not a fit of curves: ${whyInvalid(parsed.error, 'law')}`);
}
