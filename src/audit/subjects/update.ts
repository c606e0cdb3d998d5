/** Sizes and classes of kernels that take a tensor by elements: sums, conversions, and what a step ends with. */
import { adamwCase, SETTINGS } from '../../cases/adamw.js';
import { adamw8bitCase } from '../../cases/adamw-8bit.js';
import type { Case } from '../../cases/case.js';
import { accumulateCase, addCase, castCase, softCapCase } from '../../cases/elementwise.js';
import { gradientNormCase, gradientNormPartialCase } from '../../cases/gradient-norm.js';
import { tensorHealthCase, updateHealthCase } from '../../cases/health.js';
import { elementCounts } from '../../cases/sizes.js';
import { swapCase, weightAverageCase } from '../../cases/weight-average.js';
import { INPUT_CLASSES, type InputClass } from '../../numerics/inputs.js';
import { hasHalves, type Scope, storedTypes } from '../problem.js';
import { ADVERSARIAL } from './rows.js';

interface Elements {
  readonly count: number;
  readonly inputClass?: InputClass;
}

/** Every count, and a thousand elements of each adversarial class. */
export const ELEMENTS: readonly Elements[] = [
  ...elementCounts,
  ...ADVERSARIAL.map(inputClass => ({ count: 1000, inputClass })),
];

export function* elementCases(scope: Scope): Generator<Case> {
  const conversions = [
    { from: 'bf16', to: 'f32' },
    { from: 'bf16', to: 'f16' },
    { from: 'f32', to: 'f16' },
    { from: 'f16', to: 'f32' },
  ] as const;
  for (const given of ELEMENTS) {
    for (const type of storedTypes(scope)) yield* [addCase({ ...given, type }), accumulateCase({ ...given, type })];
    const some = hasHalves(scope.adapter) ? conversions : conversions.slice(0, 1);
    for (const conversion of some) yield castCase({ ...given, ...conversion });
    for (const to of storedTypes(scope)) yield castCase({ ...given, from: 'f32', to, scale: 0.7 });
    for (const cap of [0.001, 30, 1e6]) yield softCapCase({ ...given, cap });
  }
}

export function* gradientNormCases(): Generator<Case> {
  for (const type of ['f32', 'f16'] as const) {
    for (const given of ELEMENTS) yield gradientNormPartialCase({ ...given, type });
    for (const kept of [600, 333, 20_000]) yield gradientNormPartialCase({ count: 40_000, kept, type });
  }
  for (const step of [0, 1]) yield gradientNormPartialCase({ count: 1000, step });
  for (const parts of [1, 3, 129, 1000]) {
    for (const clip of [0, 1]) for (const isScaled of [false, true]) yield gradientNormCase({ parts, clip, isScaled });
  }
  // one that spikes and one that does not, in both
  for (const [spike, isScaled] of [
    [3, false],
    [100, false],
    [0.01, true],
    [3, true],
  ] as const) {
    yield gradientNormCase({ parts: 129, clip: 1, isScaled, spike });
  }
  // two that are frozen at first, of which one is not trained yet
  yield gradientNormCase({ parts: 129, clip: 1, isScaled: true, stageSteps: [2, 0] });
}

/** What groups of parameters have of their own: first rows that are kept, of whole vectors or not, and the rate. */
const GROUPS = [
  { ...SETTINGS, kept: 600, rate: 0.3 },
  { ...SETTINGS, kept: 333 },
];

export function* adamwCases({ adapter }: Scope): Generator<Case> {
  for (const isHalf of hasHalves(adapter) ? [false, true] : [false]) {
    for (const given of ELEMENTS) yield adamwCase({ ...given, isHalf });
    yield adamwCase({ count: 1000, isHalf, staged: true });
    for (const settings of GROUPS) yield adamwCase({ count: 1000, isHalf, settings });
  }
  for (const given of ELEMENTS) yield adamwCase({ ...given, gradientType: 'f16' });
}

export function* weightAverageCases(): Generator<Case> {
  for (const given of ELEMENTS) yield* [weightAverageCase(given), swapCase(given)];
  for (const complement of [1, 9 / 11, 1e-5]) yield weightAverageCase({ count: 1000, complement });
  yield weightAverageCase({ count: 1000, isSkipped: true });
}

export function* adamw8bitCases({ adapter }: Scope): Generator<Case> {
  for (const isHalf of hasHalves(adapter) ? [false, true] : [false]) {
    for (const isBfloat of [false, true]) {
      // bf16 fills whole words
      const counts = ELEMENTS.filter(({ count }) => !isBfloat || count % 2 === 0);
      for (const given of counts) yield adamw8bitCase({ ...given, isHalf, isBfloat });
      yield adamw8bitCase({ count: 1000, isHalf, isBfloat, staged: true });
      for (const settings of GROUPS) yield adamw8bitCase({ count: 1000, isHalf, isBfloat, settings });
    }
  }
  for (const given of ELEMENTS) yield adamw8bitCase({ ...given, gradientType: 'f16' });
}

export function* healthCases(): Generator<Case> {
  for (const type of ['f32', 'bf16', 'f16'] as const) {
    for (const { count } of elementCounts) yield tensorHealthCase({ count, type });
  }
  for (const inputClass of INPUT_CLASSES.slice(1)) {
    for (const type of ['f32', 'f16'] as const) yield tensorHealthCase({ count: 1000, type, inputClass });
  }
  for (const { count } of elementCounts) {
    for (const isCoded of [false, true]) yield updateHealthCase({ count, isCoded });
  }
}
