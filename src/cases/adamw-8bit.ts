/** AdamW over one tensor whose moments are codes of 8 bits. */
import { adamw8bit, codedSizes, MOMENT_BLOCK } from '../kernels/adamw-8bit.js';
import { gamma, storedBound, TINY } from '../numerics/bounds.js';
import { FORMATS } from '../numerics/inputs.js';
import type { Vector } from '../numerics/reference.js';
import * as reference from '../numerics/reference.js';
import { adamwBounds } from '../numerics/update-bounds.js';
import { scheduleWords } from '../optim/adamw.js';
import { CODES, type CodeTable, codeOf, encodeMoments, placeOf, widenMoments } from '../optim/moment-codes.js';
import { type AdamwCase, gradientOf, SETTINGS, showGroup, showHalves } from './adamw.js';
import { type Case, drawn, type Expected, Input, kernelCase, sent, updated } from './case.js';

/** Roundings of a moment that is widened: two constants and two operations, three powers of ten, the maximum. */
export const WIDENINGS = 10;
/**
 * Roundings of a share before it is cut off to a code: the division (2.5 ulp), three powers of ten, the two operations
 * and two constants that place it in its power, and the one that finds the power.
 */
const SHARE = gamma(16);

/** A moment's values and their bounds after the update. */
interface Updated {
  readonly values: Vector;
  readonly bound: Vector;
}

/** The new maxima and codes of a moment, into their places among those of both. */
function place(
  { values, bound }: Updated,
  table: CodeTable,
  moment: 0 | 1,
  { codes, maxima }: Readonly<Record<'codes' | 'maxima', Expected>>,
): void {
  const zero = codeOf(table, 0);
  for (let first = 0, block = 0; first < codes.reference.length / 2; first += MOMENT_BLOCK, block++) {
    const own = values.subarray(first, first + MOMENT_BLOCK);
    const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const error = bound.subarray(first, first + MOMENT_BLOCK).reduce((a, b) => Math.max(a, b), 0);
    maxima.reference[2 * block + moment] = largest;
    maxima.bound[2 * block + moment] = error;
    const maximum = { least: Math.max(largest - error, TINY), most: largest + error };
    const mayBeZero = largest - error < TINY;
    const end = Math.min(first + MOMENT_BLOCK, codes.reference.length / 2);
    for (let i = first; i < end; i++) {
      const at = placeOf(i, moment);
      const [value, off] = [values[i] ?? 0, bound[i] ?? 0];
      const code = largest === 0 ? zero : codeOf(table, value / largest);
      const others = [outermost(table, value - off, maximum, -1), outermost(table, value + off, maximum, 1)];
      if (mayBeZero) others.push(zero);
      codes.reference[at] = code;
      codes.bound[at] = Math.max(...others.map(other => Math.abs(other - code)));
    }
  }
}

/** The code furthest in a direction that a kernel may give a value over a maximum between `least` and `most`. */
function outermost(
  table: CodeTable,
  value: number,
  { least, most }: { readonly least: number; readonly most: number },
  direction: -1 | 1,
): number {
  const isOutwards = Math.sign(value) === direction;
  const share = (value / (isOutwards ? least : most)) * (isOutwards ? 1 + SHARE : 1 - SHARE);
  return codeOf(table, Math.min(1, Math.max(-1, share)));
}

/** The bound of a value that is rounded to one of the two bf16 around it: a whole step of its last digit. */
const boundByChance = (bound: Vector, reference: Vector): Vector =>
  bound.map((value, i) => {
    const { roundoff, least, tiny } = FORMATS.bf16;
    const magnitude = Math.abs(reference[i]!) + value;
    // a subnormal may be taken for 0
    return value + Math.max(2 * roundoff * magnitude, least) + (magnitude < 2 * tiny ? magnitude : 0);
  });

export function adamw8bitCase(given: AdamwCase): Case {
  const {
    count,
    isHalf = false,
    isBfloat = false,
    gradientType = 'f32',
    staged = false,
    inputClass = 'uniform',
    settings = SETTINGS,
  } = given;
  const { clipFactor, step, rate = 1, kept = 0 } = settings;
  const lr = rate * settings.lr;
  const label = `${count} ${inputClass}`;
  const most = isHalf ? FORMATS.f16.largest / 2 : 2 ** 60;
  const values = (name: string) => drawn(inputClass, `${name} ${label}`, count, { most });
  const m = values('m');
  const coded = () =>
    encodeMoments({ m: Float32Array.from(m.values), v: Float32Array.from(m.values, value => value * value) });
  const schedule = new Float32Array(scheduleWords({ ...settings, clip: 0 }, step, settings.lr).buffer);
  const corrections = staged ? [1, 1] : [schedule[1]!, schedule[2]!];
  const sizes = codedSizes(count);
  return kernelCase({
    kernel: 'adamw_8bit',
    shape: [count, ...(isBfloat ? ['bf16'] : []), ...(staged ? ['frozen at first'] : [])]
      .join(', ')
      .concat(showHalves(isHalf, gradientType), showGroup(settings)),
    inputClass,
    inputs: {
      gradient: gradientOf(gradientType, inputClass, label, count, most),
      schedule: sent(schedule),
      // norm, clip factor, no bad step, loss, loss scale, not skipped, corrections
      health: sent([2, clipFactor, 0, 0, 1, 0, ...corrections]),
    },
    outputs: {
      parameter: updated(
        isBfloat ? drawn(inputClass, `parameter ${label}`, count, { most, type: 'bf16' }) : values('parameter'),
      ),
      codes: updated(new Input('u8', sizes.codes, () => Float64Array.from(coded().codes), true)),
      maxima: updated(new Input('f32', sizes.maxima, () => Float64Array.from(coded().maxima))),
      ...(isHalf && { half: { type: 'f16', count } }),
    },
    flops: 15 * count,
    bytes: 3 * 4 * count + 2 * (sizes.codes + 4 * sizes.maxima),
    expected({ gradient, parameter, codes, maxima }) {
      const [correction1, correction2] = [1 / (1 - settings.beta1 ** step), 1 / (1 - settings.beta2 ** step)];
      const before = { parameter, ...widenMoments(codes, maxima, count) };
      const followed = gradient.slice().fill(0, 0, kept);
      const bounds = adamwBounds(before, followed, { ...settings, lr, correction1, correction2 }, WIDENINGS);
      const after = { parameter: parameter.slice(), m: before.m.slice(), v: before.v.slice() };
      reference.adamw(after, followed, { ...settings, lr });
      after.parameter.set(parameter.subarray(0, kept));
      bounds.parameter.fill(0, 0, kept);
      const zeros = (length: number): Expected => ({
        reference: new Float64Array(length),
        bound: new Float64Array(length),
      });
      const moments = { codes: zeros(sizes.codes), maxima: zeros(sizes.maxima) };
      place({ values: after.m, bound: bounds.m }, CODES.m, 0, moments);
      place({ values: after.v, bound: bounds.v }, CODES.v, 1, moments);
      const bound = isBfloat ? boundByChance(bounds.parameter, after.parameter) : bounds.parameter;
      bound.fill(0, 0, kept);
      const half = { reference: after.parameter, bound: storedBound(bound, after.parameter, 'f16') };
      return {
        parameter: { reference: after.parameter, bound },
        ...moments,
        ...(isHalf && { half }),
      };
    },
    calls: (variants, operands) => adamw8bit(variants, count, { ...settings, staged }, operands),
  });
}
