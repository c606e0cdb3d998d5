/**
 * Which learning rates a sweep tries: the run's own and one on either side; further ones as long as the best is at an
 * end; then those halfway between the best and its neighbours. Rates stand at places, in half steps from the run's own.
 */

/** A rate that was tried. */
export interface TriedRate {
  readonly rate: number;
  /** The held-out loss at the end; undefined where the run diverged or failed. */
  readonly loss: number | undefined;
}

interface TriedPlace extends TriedRate {
  readonly place: number;
}

/** The half steps from a rate to the next at first. */
const STEP = 2;

/** The places that are tried first. */
export const FIRST_PLACES: readonly number[] = [0, -STEP, STEP];

/** Returns the rate at a place: the run's own at 0, others with three digits, which name their runs, too. */
export const rateAt = (place: number, { rate, factor }: { readonly rate: number; readonly factor: number }): number =>
  place === 0 ? rate : Number((rate * factor ** (place / STEP)).toPrecision(3));

/** Returns the places to try next; none where the best is bracketed closely. */
export function nextPlaces(tried: readonly TriedPlace[]): number[] {
  const sorted = [...tried].sort((a, b) => a.place - b.place);
  const best = bestOf(sorted);
  if (best === undefined) return [sorted[0]!.place - STEP]; // all diverged
  const at = sorted.indexOf(best);
  const [below, above] = [sorted[at - 1], sorted[at + 1]];
  if (!below) return [best.place - STEP];
  if (!above) return [best.place + STEP];
  return [below, above].flatMap(({ place }) =>
    Math.abs(place - best.place) === STEP ? [(place + best.place) / 2] : [],
  );
}

/** Returns the rate with the lowest loss; undefined where none has a loss. */
export const bestOf = <Rate extends TriedRate>(tried: readonly Rate[]): Rate | undefined =>
  tried.reduce<Rate | undefined>(
    (best, one) => (one.loss !== undefined && !(best && best.loss! <= one.loss) ? one : best),
    undefined,
  );
