/** What the laws of a study say: how far they carry, and how they would split compute. */
import { allocate, hasOptimum } from '../scaling/allocation.js';
import { interval } from '../scaling/bootstrap.js';
import { toLaw } from '../scaling/saved-fit.js';
import { short } from './numbers.js';
import type { Estimate } from './study-evidence.js';
import { type Answer, conclude, type Finding, fixed, isAbove, show } from './study-verdicts.js';
import type { LanguageFits, StudyHoldout, StudyView } from './study-view.js';

const error = (share: number): string => `${(100 * share).toFixed(1)}%`;

/** A law carries where it predicts what it was not fitted to within this. */
const CARRIES = 0.01;

export function lawsCarry(view: StudyView): Finding {
  const answers = view.fits.flatMap(({ language, heldOut, cpt }): Answer[] => {
    const known = heldOut.flatMap(({ strategy, holdout, result }) =>
      'missing' in result ? [] : [{ strategy, holdout, ...errorOf(strategy, result) }],
    );
    if (known.length === 0) return [];
    const named = { largest: 'without the largest size', last: 'without the last third of tokens' };
    const parts = (['largest', 'last'] as const).flatMap(holdout => {
      const both = known.filter(each => each.holdout === holdout);
      const errors = both.map(({ strategy, heldOut: rms }) => `${strategy === 'cpt' ? 'CPT' : strategy} ${error(rms)}`);
      return both.length > 0 ? [`${errors.join(' and ')} ${named[holdout]}`] : [];
    });
    const worst = error(Math.max(...known.map(each => each.worst)));
    const gamma = 'fit' in cpt ? cpt.fit.intervals.gamma : null;
    const value = 'fit' in cpt ? `; γ ${fixed(2)(cpt.fit.parameters.gamma)}` : '';
    const range = gamma ? ` (${fixed(2)(gamma[0])} to ${fixed(2)(gamma[1])})` : '';
    return [
      {
        says: `${language}, error (rms) at what was held out: ${parts.join(', ')}; at worst ${worst}${value}${range}.`,
        holds: known.flatMap(({ heldOut: rms, worst }) => [rms, worst].map(each => (each <= CARRIES ? 'yes' : 'no'))),
      },
    ];
  });
  return conclude(
    {
      section: 'fits',
      figure: 'loss-compute',
      claim: 'The laws predict losses that they were not fitted to, within 1%',
    },
    answers,
    'Waits for losses of three sizes: a law needs two to be fitted to, and one to be held against.',
  );
}

type Compared = Exclude<StudyHoldout['result'], { readonly missing: string }>;

/** The law that the paper has for each: without γ from scratch, with it for CPT. */
const errorOf = (strategy: StudyHoldout['strategy'], { laws }: Compared) =>
  laws.find(({ law }) => law === (strategy === 'cpt' ? 'extended' : 'chinchilla'))!;

export function allocation(view: StudyView): Finding {
  const answers = view.fits.flatMap((fits): Answer[] => {
    const found = sizeRatio(fits);
    if (!found) return [];
    const { compute, ratio, determined } = found;
    const size = `${show(ratio, value => String(Number(value.toPrecision(2))))} times that from scratch`;
    return [
      {
        says: determined
          ? `${fits.language}, at ${short(compute)} FLOPs: the best size for CPT is ${size}.`
          : `${fits.language}: its laws are open, and with them the best size.`,
        holds: [determined ? isAbove({ ...ratio, ...(ratio.interval && { interval: logs(ratio.interval) }) }) : 'open'],
      },
    ];
  });
  return conclude(
    {
      section: 'equal-loss',
      figure: 'equal-loss',
      claim: 'Compute for CPT is best spent on a larger model and fewer tokens than from scratch',
    },
    answers,
    'Waits for laws of scratch and of CPT that have a best split of compute.',
  );
}

const logs = ([low, high]: readonly [number, number]): [number, number] => [Math.log(low), Math.log(high)];

interface SizeRatio {
  readonly compute: number;
  readonly ratio: Estimate;
  readonly determined: boolean;
}

/** Returns N_opt of CPT over that of scratch, at the most compute that both were trained with. */
function sizeRatio({ scratch, cpt }: LanguageFits): SizeRatio | undefined {
  if ('missing' in scratch || 'missing' in cpt) return undefined;
  const [a, b] = [scratch.fit, cpt.fit];
  if (!hasOptimum(a.parameters) || !hasOptimum(b.parameters)) return undefined;
  const compute = Math.min(a.range.compute[1], b.range.compute[1]);
  const ratios = b.samples.flatMap((sample, r) => {
    const [ofCpt, ofScratch] = [toLaw(sample), toLaw(a.samples[r % a.samples.length]!)];
    const both = hasOptimum(ofCpt) && hasOptimum(ofScratch);
    return both ? [allocate(ofCpt, compute).N_opt / allocate(ofScratch, compute).N_opt] : [];
  });
  const found = interval(ratios);
  const value = allocate(b.parameters, compute).N_opt / allocate(a.parameters, compute).N_opt;
  const determined = a.diagnosis.determined && b.diagnosis.determined;
  return { compute, determined, ratio: { value, count: b.points, ...(found && { interval: found }) } };
}
