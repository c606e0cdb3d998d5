/** What repeated tokens are worth, fitted to points with `uniqueTokens` by a law that was fitted without repetition. */
import { z } from 'zod';
import { UserError } from '../errors.js';
import { rootMeanSquare } from '../mean.js';
import { Random } from '../random.js';
import { type BootstrapOptions, draw, interval, type RunPoint } from './bootstrap.js';
import { directionsOf } from './diagnosis.js';
import { FormObjective } from './form.js';
import { fitForm } from './form-fit.js';
import type { LawParameters } from './law.js';
import { type RepeatedPoint, type Repetition, repeatedLossAt, repetitionForm } from './repetition.js';
import { type SavedFit, savedFitSchema, toLaw } from './saved-fit.js';
import { counting, type OnProgress } from './search.js';

export const repetitionSchema = z.object({
  law: z.literal('repetition'),
  /** The constants R*_D and R*_N. */
  parameters: z.object({ R_D: z.number(), R_N: z.number() }),
  /** The bootstrap's refits, each [R_D, R_N]. */
  samples: z.array(z.tuple([z.number(), z.number()])),
  /** Constants that the points leave open. */
  open: z.array(z.enum(['R_D', 'R_N'])),
  /** The fit without repetition, whose parameters are kept. */
  base: savedFitSchema,
});

export interface RepetitionFit extends z.infer<typeof repetitionSchema> {
  readonly intervals: Readonly<Record<keyof Repetition, readonly [number, number] | null>>;
  readonly points: number;
  /** The number of points whose tokens were not all different. */
  readonly repeated: number;
  /** The root mean square of ln L predicted − observed, and of the same law with every token taken for new. */
  readonly rms: number;
  readonly rmsWithout: number;
  readonly starts: number;
  readonly agreeing: number;
  readonly warnings: readonly string[];
}

const STARTS = 30;

/**
 * Fits R*_D and R*_N. Replicate r keeps the parameters of the base fit's replicate r.
 * @param base a fit of the law of scratch or of CPT to runs that repeat nothing
 * @throws UserError when no point has more tokens than different ones
 */
export function fitRepetition(
  points: readonly (RunPoint & RepeatedPoint)[],
  base: SavedFit,
  options: BootstrapOptions,
  onProgress?: OnProgress,
): RepetitionFit {
  const repeated = points.filter(({ tokens, uniqueTokens = tokens }) => tokens > uniqueTokens).length;
  if (repeated < 2) {
    throw new UserError(
      `${repeated} of the ${points.length} points repeat tokens: the law needs points with fewer uniqueTokens than ` +
        'tokens (a column of the file)',
    );
  }
  const { replicates, seed, resample } = options;
  const onDone = counting(STARTS + replicates, onProgress);
  const fitTo = (
    drawn: readonly (RunPoint & RepeatedPoint)[],
    law: LawParameters,
    starts: number,
    more: Repetition[],
  ) =>
    fitForm(repetitionForm(law, drawn), lossesOf(drawn), {
      starts,
      random: new Random(seed, 'repetition'),
      more: more.map(each => ({ ...each })),
      onDone,
    });
  const fit = fitTo(points, base.parameters, STARTS, []);
  const parameters: Repetition = { R_D: fit.values.R_D!, R_N: fit.values.R_N! };
  const samples = Array.from({ length: replicates }, (_, r): [number, number] => {
    const drawn = draw(points, resample, new Random(seed, 'bootstrap', r));
    const law = base.samples.length > 0 ? toLaw(base.samples[r % base.samples.length]!) : base.parameters;
    const { values } = fitTo(drawn, law, 0, [parameters]);
    return [values.R_D!, values.R_N!];
  });
  const open = openOf(points, base.parameters, parameters);
  return {
    law: 'repetition',
    parameters,
    intervals: {
      R_D: interval(samples.map(([R_D]) => R_D)) ?? null,
      R_N: interval(samples.map(([, R_N]) => R_N)) ?? null,
    },
    samples,
    open,
    base,
    points: points.length,
    repeated,
    rms: fit.rms,
    rmsWithout: rmsOf(points, base.parameters, { R_D: 1e9, R_N: 1e9 }),
    starts: fit.starts,
    agreeing: fit.agreeing,
    warnings: open.map(name => `the points leave ${name} open: ${ADVICE[name]}`),
  };
}

const ADVICE = {
  R_D: 'add runs of more passes over fewer tokens',
  R_N: 'add runs of models that are larger than the optimum of their unique tokens',
} as const;

const lossesOf = (points: readonly RepeatedPoint[]): number[] => points.map(({ loss }) => loss);

/** A constant this far out is one in name only: nothing in the points bends. */
const LARGEST = 1e4;

function openOf(points: readonly RepeatedPoint[], law: LawParameters, found: Repetition): (keyof Repetition)[] {
  const names = ['R_D', 'R_N'] as const;
  const objective = new FormObjective(repetitionForm(law, points), lossesOf(points));
  const theta = objective.fromValues({ ...found });
  const { undetermined } = directionsOf(objective.jacobian(theta), objective.residuals(theta), names);
  return names.filter(
    name =>
      !(found[name] > 1 / LARGEST && found[name] < LARGEST) || undetermined.some(({ direction }) => name in direction),
  );
}

function rmsOf(points: readonly RepeatedPoint[], law: LawParameters, repetition: Repetition): number {
  const errors = points.map(({ parameters, tokens, uniqueTokens = tokens, loss }) =>
    Math.log(repeatedLossAt(law, repetition, parameters, tokens, uniqueTokens) / loss),
  );
  return rootMeanSquare(errors);
}
