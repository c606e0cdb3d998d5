/** What a step ends with: gradient norm, AdamW; and the elementwise kernels. */
import { adamw } from '../../kernels/adamw.js';
import { accumulate, add } from '../../kernels/add.js';
import { cast } from '../../kernels/cast.js';
import { gradientNorm, gradientNormPartial, gradientNormParts } from '../../kernels/gradient-norm.js';
import {
  adamwBounds,
  DIVISION,
  flushedValues,
  gradientNormBounds,
  squaresBound,
  storedBound,
  TINY,
  U,
} from '../../numerics/bounds.js';
import { elementCases } from '../../numerics/cases.js';
import { FORMATS, type Format, type InputClass, inputValues, type StoredType, stored } from '../../numerics/inputs.js';
import * as reference from '../../numerics/reference.js';
import { scheduleWords } from '../../optim/adamw.js';
import {
  type Expected,
  floats,
  hasHalves,
  onlyVariant,
  type Problem,
  rowVariants,
  type Scope,
  storedTypes,
  tunedElements,
} from '../problem.js';

const CLASSES: readonly InputClass[] = ['cancelling', 'wide', 'denormal', 'signed zeros', 'largest'];
const SETTINGS = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };

export function* elementProblems(scope: Scope): Generator<Problem> {
  for (const count of elementCases) {
    for (const type of storedTypes(scope)) {
      yield* sumsOfTwo(scope, type, count, 'uniform');
    }
    yield* conversions(scope, count, 'uniform');
  }
  for (const inputClass of CLASSES) {
    for (const type of storedTypes(scope)) {
      yield* sumsOfTwo(scope, type, 1000, inputClass);
    }
    yield* conversions(scope, 1000, inputClass);
  }
}

function* sumsOfTwo(scope: Scope, type: StoredType, count: number, inputClass: InputClass): Generator<Problem> {
  const label = `${type} ${count} ${inputClass}`;
  const most = FORMATS[type].largest / 2;
  const [a, b] = ['a', 'b'].map(name => inputValues(inputClass, `${name} ${label}`, count, { type, most })) as [
    reference.Vector,
    reference.Vector,
  ];
  const expected = (a: reference.Vector, b: reference.Vector) => {
    const sum = a.map((value, i) => value + b[i]!);
    const [lostOfA, lostOfB] = [flushedValues(a, type), flushedValues(b, type)];
    const bound = sum.map((value, i) => U * Math.abs(value) + TINY + lostOfA[i]! + lostOfB[i]!);
    return { y: { reference: sum, bound: storedBound(bound, sum, type) } };
  };
  yield {
    kernel: 'add',
    shape: `${type}, ${count}`,
    inputClass,
    inputs: { a: floats(a, type), b: floats(b, type) },
    outputs: { y: { type, count } },
    expected: given => expected(given.a!, given.b!),
    variants: onlyVariant(scope, (table, bind) => add(table, count, { a: bind('a'), b: bind('b'), y: bind('y') })),
  };
  yield {
    kernel: 'add',
    shape: `${type}, ${count}, accumulated`,
    inputClass,
    inputs: { a: floats(a, type) },
    outputs: { y: { type, count, initial: b } },
    expected: given => expected(given.a!, given.y!),
    variants: onlyVariant(scope, (table, bind) => accumulate(table, count, { a: bind('a'), y: bind('y') })),
  };
}

function* conversions(scope: Scope, count: number, inputClass: InputClass): Generator<Problem> {
  yield conversion(scope, 'bf16', 'f32', count, inputClass);
  if (!hasHalves(scope.adapter)) return;
  yield conversion(scope, 'bf16', 'f16', count, inputClass);
  yield conversion(scope, 'f32', 'f16', count, inputClass);
  yield conversion(scope, 'f16', 'f32', count, inputClass);
}

/** What bf16 holds and f16 does not overflow at. */
const LARGEST_OF_BOTH = 65280;

function conversion(scope: Scope, from: Format, to: StoredType, count: number, inputClass: InputClass): Problem {
  const most = from === 'bf16' ? LARGEST_OF_BOTH : FORMATS.f16.largest;
  const x = inputValues(inputClass, `x ${from} ${count} ${inputClass}`, count, { type: from, most });
  return {
    kernel: 'cast',
    shape: `${from} to ${to}, ${count}`,
    inputClass,
    inputs: { x: floats(x, from) },
    outputs: { y: { type: to, count } },
    expected(given) {
      const reference = given.x!;
      return { y: { reference, bound: storedBound(flushedValues(reference, from), reference, to) } };
    },
    variants: onlyVariant(scope, (table, bind) => cast(table, count, { x: bind('x'), y: bind('y') })),
  };
}

export function* gradientNormProblems(scope: Scope): Generator<Problem> {
  for (const count of elementCases) yield partialNorm(scope, count, 'uniform');
  for (const inputClass of CLASSES) yield partialNorm(scope, 1000, inputClass);
  for (const parts of [1, 3, 129, 1000]) {
    for (const clip of [0, 1]) for (const isScaled of [false, true]) yield norm(scope, parts, clip, isScaled);
  }
}

function partialNorm(scope: Scope, count: number, inputClass: InputClass): Problem {
  const parts = gradientNormParts(count);
  const most = Math.sqrt(FORMATS.f32.largest / Math.min(count, 16_384)) / 2;
  const gradient = inputValues(inputClass, `gradient ${count} ${inputClass}`, count, { most });
  const elements = Math.min(count, 16_384);
  return {
    kernel: 'gradient_norm_partial',
    shape: `${count}`,
    inputClass,
    inputs: { gradient: floats(gradient) },
    // a part before and one after that another tensor's call would write
    outputs: { partial: { type: 'f32', count: parts + 2, isWritten: i => i > 0 && i <= parts } },
    expected(given) {
      const sums = new Float64Array(parts + 2);
      given.gradient!.forEach((value, i) => {
        sums[1 + Math.floor(i / elements)]! += value * value;
      });
      return { partial: { reference: sums, bound: sums.map(sum => squaresBound(sum, elements)) } };
    },
    variants: rowVariants(scope, (table, bind) =>
      gradientNormPartial(table, count, 1, { gradient: bind('gradient'), partial: bind('partial') }),
    ),
  };
}

const LOSS_SCALE = 1024;
const [GOOD_STEPS, POWER1, POWER2] = [5, SETTINGS.beta1 ** 5, SETTINGS.beta2 ** 5].map(Math.fround) as [
  number,
  number,
  number,
];
/** A small whole number as the f32 of the same bits. */
const asFloat = (word: number): number => word * FORMATS.f32.least;

/** `isScaled`: with the loss scale of f16 training and its state. */
function norm(scope: Scope, parts: number, clip: number, isScaled: boolean): Problem {
  const partial = inputValues('uniform', `partial ${parts}`, parts, { low: 0, high: 4 });
  const schedule = new Float32Array(scheduleWords(SETTINGS, 3, 1e-3).buffer);
  const lossScale = isScaled ? LOSS_SCALE : 1;
  const scaler = Float64Array.of(LOSS_SCALE, asFloat(GOOD_STEPS), POWER1, POWER2);
  return {
    kernel: 'gradient_norm',
    shape: `${isScaled ? 'with a loss scale, ' : ''}${parts} parts, ${clip ? `clip ${clip}` : 'no clipping'}`,
    inputClass: 'uniform',
    inputs: {
      partial: floats(partial),
      loss: floats(Float64Array.of(3.5)),
      schedule: floats(Float64Array.from(schedule)),
    },
    outputs: {
      health: { type: 'f32', count: 8, initial: new Float64Array(8) },
      ...(isScaled && { scaler: { type: 'f32', count: 4, initial: scaler } }),
    },
    expected(given): Record<string, Expected> {
      const total = Math.sqrt(given.partial!.reduce((a, b) => a + b, 0)) / lossScale;
      const factor = (clip > 0 ? Math.min(1, clip / total) : 1) / lossScale;
      const bounds = gradientNormBounds(parts, total, factor);
      const powers = [POWER1 * SETTINGS.beta1, POWER2 * SETTINGS.beta2] as const;
      const corrections = isScaled ? powers.map(power => 1 / (1 - power)) : [given.schedule![1]!, given.schedule![2]!];
      // a power is off by a product and the rounding of β; 1 − power and the division follow
      const correctionBounds = corrections.map((value, i) =>
        isScaled ? value * (value * (3 * U * powers[i]! + U) + DIVISION) : 0,
      );
      // norm, clip factor, bad step, loss, loss scale, skipped, corrections
      const health = {
        reference: Float64Array.of(total, factor, 0, given.loss![0]!, lossScale, 0, ...corrections),
        bound: Float64Array.of(bounds.norm, bounds.scale, 0, 0, 0, 0, ...correctionBounds),
      };
      if (!isScaled) return { health };
      const after = {
        reference: Float64Array.of(LOSS_SCALE, asFloat(GOOD_STEPS + 1), ...powers),
        bound: Float64Array.of(0, 0, ...powers.map(power => 3 * U * power)),
      };
      return { health, scaler: after };
    },
    variants: rowVariants(scope, (table, bind) =>
      gradientNorm(table, parts, clip, isScaled ? { growthInterval: 100, ...SETTINGS } : undefined, {
        partial: bind('partial'),
        loss: bind('loss'),
        schedule: bind('schedule'),
        health: bind('health'),
        scaler: isScaled ? bind('scaler') : undefined,
      }),
    ),
    // the bad step's number, or that the step was skipped
    reports: ({ health }) => health![2] !== 0 || health![5] !== 0,
  };
}

export function* adamwProblems(scope: Scope): Generator<Problem> {
  for (const isHalf of hasHalves(scope.adapter) ? [false, true] : [false]) {
    for (const count of elementCases) yield update(scope, count, isHalf, 'uniform');
    for (const inputClass of CLASSES) yield update(scope, 1000, isHalf, inputClass);
    yield update(scope, 1000, isHalf, 'uniform', true);
  }
}

function update(scope: Scope, count: number, isHalf: boolean, inputClass: InputClass, staged = false): Problem {
  const label = `${count} ${inputClass}`;
  // squares of gradients, and what is stored in halves, must not overflow
  const most = isHalf ? FORMATS.f16.largest / 2 : 2 ** 60;
  const values = (name: string) => inputValues(inputClass, `${name} ${label}`, count, { most });
  const [gradient, parameter, m] = [values('gradient'), values('parameter'), values('m')];
  const v = stored(
    m.map(value => value * value),
    'f32',
  ); // as in training: no mean is far beyond its root
  const [step, lr, clipFactor] = [3, Math.fround(1e-3), 0.5];
  const words = new Float32Array(scheduleWords(SETTINGS, step, lr).buffer);
  // a staged parameter goes by the corrections of its own schedule
  const health = Float64Array.of(2, clipFactor, 0, 0, 1, 0, staged ? 1 : words[1]!, staged ? 1 : words[2]!);
  return {
    kernel: 'adamw',
    shape: `${count}${isHalf ? ', with an f16 copy' : ''}${staged ? ', frozen at first' : ''}`,
    inputClass,
    inputs: { gradient: floats(gradient), schedule: floats(Float64Array.from(words)), health: floats(health) },
    outputs: {
      parameter: { type: 'f32', count, initial: parameter },
      m: { type: 'f32', count, initial: m },
      v: { type: 'f32', count, initial: v },
      ...(isHalf && { half: { type: 'f16', count } }),
    },
    expected(given) {
      const { gradient, parameter, m, v } = given as Record<'gradient' | 'parameter' | 'm' | 'v', reference.Vector>;
      const bounds = adamwBounds({ parameter, m, v }, gradient, {
        ...SETTINGS,
        lr,
        clipFactor,
        correction1: 1 / (1 - SETTINGS.beta1 ** step),
        correction2: 1 / (1 - SETTINGS.beta2 ** step),
      });
      const after = { parameter: parameter.slice(), m: m.slice(), v: v.slice() };
      reference.adamw(after, gradient, { ...SETTINGS, lr, clipFactor, step });
      const expected = (name: 'parameter' | 'm' | 'v') => ({ reference: after[name], bound: bounds[name] });
      const { parameter: updated } = after;
      const half = { reference: updated, bound: storedBound(bounds.parameter, updated, 'f16') };
      return { parameter: expected('parameter'), m: expected('m'), v: expected('v'), ...(isHalf && { half }) };
    },
    variants: tunedElements(scope, { kernel: 'adamw', count, type: isHalf ? 'f16' : 'f32' }, (table, bind) =>
      adamw(
        table,
        count,
        { ...SETTINGS, staged },
        {
          gradient: bind('gradient'),
          schedule: bind('schedule'),
          health: bind('health'),
          parameter: bind('parameter'),
          m: bind('m'),
          v: bind('v'),
          half: isHalf ? bind('half') : undefined,
        },
      ),
    ),
  };
}
