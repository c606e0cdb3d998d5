/** Finds where top-k and top-p cut a distribution, without sorting it. */

/** The kept weights: all above `weight`, and `ties` of those that equal it. */
export interface Cut {
  readonly weight: number;
  readonly ties: number;
}

/**
 * Finds the fewest of the `count` largest weights [V], taken from the largest down, that come to `share` of their sum.
 *
 * The cut is defined by float64 sums in one order: the sum of those `count` from the smallest up, and the sum of the
 * kept weights from the largest down. A sum of n positive terms in another order differs by less than (n - 1)·2^-52 of
 * it, since each of the two is within (n - 1)·2^-53 of the exact sum (Higham, Accuracy and Stability of Numerical
 * Algorithms, 2002, 4.2). So cheap sums give the same cut wherever one token less clearly misses the share and the
 * token clearly reaches it. Where this is not clear, for instance where equal weights come to the share exactly, all
 * weights are sorted and added up.
 */
export function findCut(weights: Float64Array, count: number, share: number): Cut {
  let top = weights;
  if (count < weights.length) {
    const { weight, above } = descend(weights, reached => reached >= count);
    if (share === 1) return { weight, ties: count - above };
    top = new Float64Array(count).fill(weight);
    top.set(weights.filter(other => other > weight));
  }
  const total = sumOf(top);
  const wanted = share * total;
  const { weight, sumAbove } = descend(top, (_, sum) => sum >= wanted);
  const ties = Math.max(1, Math.ceil((wanted - sumAbove) / weight));
  const margin = count * 2 ** -50; // the bound above for both sums of both ways, and their products
  const isClear =
    sumAbove + (ties - 1) * weight < (1 - margin) * wanted &&
    sumAbove + ties * weight > (1 + margin) * wanted &&
    weight > (1 + margin) * tailWeight(share, total, count);
  return isClear ? { weight, ties } : findCutBySorting(top, share);
}

/**
 * Returns a weight below which all weights together come to less than what `share` leaves of the sum: they are not
 * looked at.
 */
const tailWeight = (share: number, total: number, count: number): number => ((1 - share) * total) / count;

/** Finds the cut by its definition, from the weights that top-k left. */
function findCutBySorting(weights: Float64Array, share: number): Cut {
  const count = weights.length;
  const top = weights.slice().sort();
  const total = sumOf(top);
  const least = Math.max(top[0]!, tailWeight(share, total, count));
  let cut: Cut = { weight: Number.POSITIVE_INFINITY, ties: 0 };
  let sum = 0;
  for (let i = count - 1; i >= 0 && top[i]! >= least && sum < share * total; i--) {
    const weight = top[i]!;
    cut = { weight, ties: weight === cut.weight ? cut.ties + 1 : 1 };
    sum += weight;
  }
  return cut;
}

function sumOf(weights: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) sum += weights[i]!;
  return sum;
}

/** The bits of a weight that are looked at together. */
const DIGIT = 16;
/** The number of weights up to which sorting is faster than dealing them out to buckets. */
const FEW = 1024;

/**
 * Takes weights of 0 and up from the largest down, until `isReached` (of their number and their sum) becomes true. It
 * works through the bits of a weight digit by digit, since bits are in the order of the numbers. It is a radix sort
 * that goes into the one bucket that matters alone.
 * @returns the last weight taken (where `isReached` never becomes true, the smallest), how many weights are above it,
 * and their sum in some order.
 */
function descend(weights: Float64Array, isReached: (count: number, sum: number) => boolean) {
  let rest = weights;
  let above = 0;
  let sumAbove = 0;
  // weights of which no digit is left are equal
  for (let place = 64 / DIGIT - 1; rest.length > FEW && !areEqual(rest); place--) {
    const { counts, sums } = bucketsOf(rest, place);
    let left = rest.length;
    let digit = counts.length - 1;
    for (; ; digit--) {
      const count = counts[digit]!;
      if (count === 0) continue;
      if (count === left || isReached(above + count, sumAbove + sums[digit]!)) break;
      above += count;
      sumAbove += sums[digit]!;
      left -= count;
    }
    if (counts[digit]! < rest.length) rest = bucketOf(rest, place, digit, counts[digit]!);
  }
  const sorted = rest.length > FEW ? rest : rest.slice().sort();
  for (let end = sorted.length; ; ) {
    const weight = sorted[end - 1]!;
    let start = end - 1;
    while (start > 0 && sorted[start - 1] === weight) start--;
    const ties = end - start;
    if (start === 0 || isReached(above + ties, sumAbove + ties * weight)) return { weight, above, sumAbove };
    above += ties;
    sumAbove += ties * weight;
    end = start;
  }
}

function areEqual(weights: Float64Array): boolean {
  for (let i = 1; i < weights.length; i++) if (weights[i] !== weights[0]) return false;
  return true;
}

/** Returns the digits of weights. The host is little-endian, so that the highest digit comes last. */
const digitsOf = (weights: Float64Array) => new Uint16Array(weights.buffer, weights.byteOffset);

/** Returns how many weights have each digit in a place, and their sums. */
function bucketsOf(weights: Float64Array, place: number) {
  const digits = digitsOf(weights);
  const counts = new Uint32Array(2 ** DIGIT);
  const sums = new Float64Array(2 ** DIGIT);
  for (let i = 0; i < weights.length; i++) {
    const digit = digits[4 * i + place]!;
    counts[digit]!++;
    sums[digit]! += weights[i]!;
  }
  return { counts, sums };
}

/** Returns the `count` weights that have a digit in a place. */
function bucketOf(weights: Float64Array, place: number, digit: number, count: number): Float64Array {
  const digits = digitsOf(weights);
  const bucket = new Float64Array(count);
  for (let i = 0, next = 0; next < count; i++) if (digits[4 * i + place] === digit) bucket[next++] = weights[i]!;
  return bucket;
}
