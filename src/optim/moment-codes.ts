/**
 * Moments in 8 bits on the host, where they are read, averaged or come from a training that kept them in f32: the
 * dynamic tree of Dettmers et al. (2021, arXiv 2110.02861, section 2.2). kernels/lib/moment_codes.wgsl says what the
 * codes are; here they are looked up in the order of what they stand for.
 */
import { codedSizes, MOMENT_BLOCK, MOMENT_QUAD } from '../kernels/adamw-8bit.js';

/** The optimizer's state of a parameter, on the host. */
export interface Moments {
  readonly m: Float32Array;
  readonly v: Float32Array;
}

/** The same in 8 bits, in the shapes of kernels/adamw-8bit.ts. */
export interface CodedMoments {
  readonly codes: Uint8Array;
  readonly maxima: Float32Array;
}

const DECADES = 7;
/** What is smaller may be taken for 0 by a device. */
const SMALLEST = 2 ** -126;

/** A moment's codes: what each stands for, and where the interval ends that each is taken for, both in order. */
export interface CodeTable {
  readonly values: Float64Array;
  /** The end of a code's interval, which belongs to the next code. */
  readonly ends: Float64Array;
}

/** The middles and ends of 2^(first + i) equal parts of 10^(i - 7) … 10^(i - 6), for i = 0 … 6. */
function partsOf(first: number): { readonly middles: number[]; readonly ends: number[] } {
  const [middles, ends]: [number[], number[]] = [[], []];
  for (let i = 0; i < DECADES; i++) {
    const [scale, parts] = [10 ** (i + 1 - DECADES), 2 ** (first + i)];
    for (let k = 0; k < parts; k++) {
      middles.push(scale * (0.1 + (0.9 * (k + 0.5)) / parts));
      ends.push(scale * (0.1 + (0.9 * (k + 1)) / parts));
    }
  }
  return { middles, ends };
}

function tableOfMeans(): CodeTable {
  const { middles, ends } = partsOf(0);
  const least = 10 ** -DECADES;
  const begins = [least, ...ends.slice(0, -1)];
  return {
    values: Float64Array.of(...middles.map(value => -value).reverse(), 0, ...middles, 1),
    ends: Float64Array.of(...begins.map(value => -value).reverse(), least, ...ends, Infinity),
  };
}

function tableOfVariances(): CodeTable {
  const { middles, ends } = partsOf(1);
  return { values: Float64Array.of(0, ...middles, 1), ends: Float64Array.of(Number.MIN_VALUE, ...ends, Infinity) };
}

export const CODES = { m: tableOfMeans(), v: tableOfVariances() } as const;

/** Returns the code of a share of a block's largest magnitude. */
export function codeOf({ ends }: CodeTable, share: number): number {
  let [low, high] = [0, ends.length - 1];
  while (low < high) {
    const between = (low + high) >> 1;
    if (share < ends[between]!) high = between;
    else low = between + 1;
  }
  return low;
}

/** Rounds moments of as many elements to codes. */
export function encodeMoments({ m, v }: Moments): CodedMoments {
  const sizes = codedSizes(m.length);
  const maxima = new Float32Array(sizes.maxima);
  const codes = new Uint8Array(sizes.codes);
  for (const [of, values] of Object.entries({ m, v })) {
    const [table, place] = of === 'm' ? [CODES.m, 0] : [CODES.v, 1];
    for (let first = 0, block = 0; first < codes.length / 2; first += MOMENT_BLOCK, block++) {
      const own = values.subarray(first, first + MOMENT_BLOCK);
      const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const isZero = largest < SMALLEST;
      maxima[2 * block + place] = isZero ? 0 : largest;
      const end = Math.min(first + MOMENT_BLOCK, codes.length / 2);
      for (let i = first; i < end; i++) {
        codes[placeOf(i, place)] = codeOf(table, isZero ? 0 : (values[i] ?? 0) / largest);
      }
    }
  }
  return { codes, maxima };
}

/** Returns what codes of `count` elements stand for, exactly. */
export function widenMoments(
  codes: ArrayLike<number>,
  maxima: ArrayLike<number>,
  count: number,
): Record<'m' | 'v', Float64Array> {
  const widen = ({ values }: CodeTable, place: number) =>
    Float64Array.from(
      { length: count },
      (_, i) => values[codes[placeOf(i, place)]!]! * maxima[2 * Math.floor(i / MOMENT_BLOCK) + place]!,
    );
  return { m: widen(CODES.m, 0), v: widen(CODES.v, 1) };
}

/** Returns what codes of `count` elements stand for in f32. */
export function decodeMoments({ codes, maxima }: CodedMoments, count: number): Moments {
  const { m, v } = widenMoments(codes, maxima, count);
  return { m: Float32Array.from(m), v: Float32Array.from(v) };
}

/** Where the code of an element's m (place 0) or v (1) stands. */
export const placeOf = (i: number, place: number): number =>
  MOMENT_QUAD * (2 * Math.floor(i / MOMENT_QUAD) + place) + (i % MOMENT_QUAD);
