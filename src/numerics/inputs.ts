/** Inputs that kernels are judged on: random ones, and those that show what random ones hide. */
import { bfloatsOf, floatsOfBfloats } from '../bfloat.js';
import { floatsOfHalves, halvesOf } from '../half.js';
import { Random } from '../random.js';
import type { Vector } from './reference.js';

/** What kernels read and write. */
export type StoredType = 'f32' | 'f16';
/** What some of them only read besides. */
export type Format = StoredType | 'bf16';

/**
 * - `uniform`: between two limits.
 * - `cancelling`: pairs that all but cancel, so that a sum is far smaller than its terms.
 * - `wide`: magnitudes over forty binary orders (what f16 holds of them).
 * - `denormal`: magnitudes around and below the smallest normal number.
 * - `signed zeros`: +0, −0 and a few ones.
 * - `largest`: the upper half of what the caller allows, which is what just does not overflow.
 * - `near ties`: a few neighbouring numbers.
 */
export const INPUT_CLASSES = [
  'uniform',
  'cancelling',
  'wide',
  'denormal',
  'signed zeros',
  'largest',
  'near ties',
] as const;
export type InputClass = (typeof INPUT_CLASSES)[number];

export interface InputOptions {
  readonly type?: Format;
  /** The bounds of `uniform` values. */
  readonly low?: number;
  readonly high?: number;
  /** No value is larger: the caller knows what would overflow. */
  readonly most?: number;
}

/** Each type's unit roundoff, smallest normal, smallest subnormal and largest finite number. */
export const FORMATS = {
  f32: { roundoff: 2 ** -24, tiny: 2 ** -126, least: 2 ** -149, largest: (2 - 2 ** -23) * 2 ** 127 },
  f16: { roundoff: 2 ** -11, tiny: 2 ** -14, least: 2 ** -24, largest: 65504 },
  bf16: { roundoff: 2 ** -8, tiny: 2 ** -126, least: 2 ** -133, largest: (2 - 2 ** -7) * 2 ** 127 },
} as const satisfies Readonly<Record<Format, object>>;

/** Rounded to what the type holds, so that references and kernels start from the same numbers. */
export function stored(values: ArrayLike<number>, type: Format): Vector {
  if (type === 'f32') return Float64Array.from(values, Math.fround);
  if (type === 'bf16') return Float64Array.from(floatsOfBfloats(bfloatsOf(values).buffer));
  return Float64Array.from(floatsOfHalves(halvesOf(values).buffer as ArrayBuffer));
}

/** `count` values of a class, the same for the same label. */
export function inputValues(kind: InputClass, label: string, count: number, options: InputOptions = {}): Vector {
  const { type = 'f32', low = -2, high = 2 } = options;
  const { tiny, largest } = FORMATS[type];
  const { most = largest } = options;
  const random = new Random(1, label);
  const between = (from: number, to: number) => from + (to - from) * random.uniform();
  const sign = () => (random.uniform() < 0.5 ? -1 : 1);
  const power = (from: number, to: number) => sign() * 2 ** between(from, to);
  let last = 0;
  const make: Readonly<Record<InputClass, (i: number) => number>> = {
    uniform: () => between(Math.max(low, -most), Math.min(high, most)),
    cancelling: i => {
      last =
        i % 2 === 0 ? between(Math.max(low, -most), Math.min(high, most)) : -last * (1 + 2 ** -9 * random.uniform());
      return last;
    },
    wide: () => power(Math.max(-20, Math.log2(tiny)), Math.min(20, Math.log2(most))),
    denormal: () => power(Math.log2(tiny) - 8, Math.log2(tiny) + 4),
    'signed zeros': () => (random.uniform() < 0.2 ? sign() : sign() * 0),
    largest: () => between(0.5, 1) * sign() * most,
    'near ties': () => Math.min(high, most) * (1 - random.integer(4) * 2 * FORMATS[type].roundoff),
  };
  return stored(
    Float64Array.from({ length: count }, (_, i) => make[kind](i)),
    type,
  );
}
