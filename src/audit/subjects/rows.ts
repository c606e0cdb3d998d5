/** Sizes and classes of kernels that take a tensor by rows. */
import { addBiasCase, columnSumsCase } from '../../cases/bias.js';
import type { Case } from '../../cases/case.js';
import { crossEntropyCase, hitsCase } from '../../cases/cross-entropy.js';
import { embeddingBackwardCase, embeddingForwardCase } from '../../cases/embedding.js';
import { headNormBackwardCase, headNormForwardCase } from '../../cases/head-norm.js';
import { type RmsnormCase, rmsnormBackwardCase, rmsnormForwardCase } from '../../cases/rmsnorm.js';
import { ropeCase } from '../../cases/rope.js';
import {
  embeddingSizes,
  headNormSizes,
  peakedSizes,
  ropeSizes,
  rowSizes,
  someRowSizes,
  sumLengths,
} from '../../cases/sizes.js';
import { sumCase } from '../../cases/sum.js';
import { swigluBackwardCase, swigluForwardCase } from '../../cases/swiglu.js';
import type { InputClass } from '../../numerics/inputs.js';
import { hasHalves, type Posed, type Scope, storedTypes } from '../problem.js';

/** The input classes beside uniform values; where nothing is summed there is nothing to cancel. */
export const ADVERSARIAL: readonly InputClass[] = ['cancelling', 'wide', 'denormal', 'signed zeros', 'largest'];
const NOT_SUMMED = ADVERSARIAL.slice(1);
const QUICK_TERMS = 4096;

const lengthsOf = ({ quick }: Scope): readonly number[] => sumLengths.filter(n => !quick || n <= QUICK_TERMS);

export function* rmsnormCases(scope: Scope): Generator<Posed> {
  for (const type of storedTypes(scope)) {
    for (const sizes of scope.quick ? someRowSizes(0, type) : rowSizes) yield* rmsnorm({ ...sizes, type });
    for (const inputClass of ADVERSARIAL) yield* rmsnorm({ rows: 65, columns: 127, type, inputClass });
    for (const columns of [127, 128]) yield* rmsnorm({ rows: 19, columns, type, unitOffset: true });
    if (type !== 'f32') continue;
    for (const terms of lengthsOf(scope)) yield { ...rmsnormForwardCase({ rows: 3, columns: terms, type }), terms };
  }
}

const RMSNORM_EPILOGUES = [false, true].flatMap(hasAddend => [false, true].map(hasTotal => ({ hasAddend, hasTotal })));

function* rmsnorm(given: RmsnormCase): Generator<Case> {
  yield rmsnormForwardCase(given);
  // of long rows all of them at once: the sums are made by the same lines
  const epilogues = given.columns > 1024 ? RMSNORM_EPILOGUES.slice(-1) : RMSNORM_EPILOGUES;
  for (const epilogue of epilogues) yield rmsnormBackwardCase({ ...given, ...epilogue });
}

export function* headNormCases(scope: Scope): Generator<Case> {
  const both = function* (given: Parameters<typeof headNormForwardCase>[0]) {
    yield headNormForwardCase(given);
    for (const hasTotal of [true, false]) yield headNormBackwardCase({ ...given, hasTotal });
  };
  for (const type of storedTypes(scope)) {
    for (const sizes of headNormSizes.filter((_, i) => !scope.quick || i % 2 === 1)) {
      for (const kind of ['queries', 'keys'] as const) yield* both({ ...sizes, kind, type });
    }
    for (const kind of ['queries', 'keys'] as const) {
      yield* both({ rows: 19, H: 5, KV: 3, D: 34, over: 'projection', kind, type });
    }
    yield* both({ rows: 19, H: 4, KV: 2, D: 34, unitOffset: true, kind: 'keys', type });
    if (!scope.quick) yield* both({ rows: 9, H: 16, KV: 4, D: 128, over: 'projection', kind: 'queries', type });
    for (const inputClass of ADVERSARIAL) yield* both({ ...headNormSizes[1]!, kind: 'keys', type, inputClass });
  }
}

export function* biasCases(scope: Scope): Generator<Posed> {
  for (const type of storedTypes(scope)) {
    for (const sizes of scope.quick ? someRowSizes(1, type) : rowSizes) {
      yield addBiasCase({ ...sizes, type });
      yield columnSumsCase({ ...sizes, type });
    }
    for (const inputClass of ADVERSARIAL) {
      yield addBiasCase({ rows: 7, columns: 129, type, inputClass });
      yield columnSumsCase({ rows: 200, columns: 33, type, inputClass });
    }
    if (type !== 'f32') continue;
    for (const terms of lengthsOf(scope)) yield { ...columnSumsCase({ rows: terms, columns: 3, type }), terms };
  }
}

export function* swigluCases(scope: Scope): Generator<Case> {
  for (const type of storedTypes(scope)) {
    const usual = (scope.quick ? someRowSizes(1, type) : rowSizes).map(sizes => ({ ...sizes, type }));
    const adversarial = NOT_SUMMED.map(inputClass => ({ rows: 7, columns: 129, type, inputClass }));
    for (const given of [...usual, ...adversarial]) yield* [swigluForwardCase(given), swigluBackwardCase(given)];
    const activation = 'gelu_pytorch_tanh';
    const withGelu = [{ rows: 64, columns: 64, type }, { rows: 3, columns: 1030, type }, ...adversarial];
    for (const given of withGelu) {
      yield* [swigluForwardCase({ ...given, activation }), swigluBackwardCase({ ...given, activation })];
    }
  }
}

export function* ropeCases(scope: Scope): Generator<Case> {
  for (const type of storedTypes(scope)) {
    for (const sizes of ropeSizes.filter((_, i) => !scope.quick || i % 2 === 1)) {
      for (const inverse of [false, true]) yield ropeCase({ ...sizes, type, inverse });
    }
    for (const inputClass of NOT_SUMMED) yield ropeCase({ ...ropeSizes[1]!, type, inputClass });
    const inDocuments = { ...ropeSizes[3]!, type, documents: [1, 40, 3, 57] };
    for (const inverse of [false, true]) yield ropeCase({ ...inDocuments, inverse });
  }
}

export function* embeddingCases(scope: Scope): Generator<Case> {
  const adversarial = ADVERSARIAL.map(inputClass => ({ ...embeddingSizes[2]!, inputClass }));
  for (const given of [...embeddingSizes, ...adversarial]) {
    yield* [embeddingForwardCase(given), embeddingBackwardCase(given)];
  }
  for (const sizes of embeddingSizes) {
    if (hasHalves(scope.adapter)) {
      if (!scope.quick) yield embeddingForwardCase({ ...sizes, type: 'f16' });
      yield embeddingBackwardCase({ ...sizes, type: 'f16' });
    }
    yield embeddingForwardCase({ ...sizes, type: 'bf16' });
  }
}

export function* crossEntropyCases(scope: Scope): Generator<Posed> {
  for (const type of storedTypes(scope)) {
    for (const sizes of scope.quick ? someRowSizes(2, type) : rowSizes) yield crossEntropyCase({ ...sizes, type });
    for (const inputClass of ['near ties', ...NOT_SUMMED] as const) {
      yield crossEntropyCase({ rows: 7, columns: 129, type, inputClass });
    }
    const peaked = scope.quick && type === 'f16' ? peakedSizes.slice(0, 1) : peakedSizes;
    for (const sizes of peaked) yield crossEntropyCase({ ...sizes, type });
    for (const sizes of weightedSizes) yield crossEntropyCase({ ...sizes, type, weighted: true });
    for (const sizes of weightedSizes) yield crossEntropyCase({ ...sizes, type, softCap: 4 });
    if (type !== 'f32') continue;
    for (const terms of lengthsOf(scope)) yield { ...crossEntropyCase({ rows: 2, columns: terms, type }), terms };
  }
}

const weightedSizes = [1, 4, 33, 1030].map(columns => ({ rows: 11, columns }));
const tiedSizes = [1, 4, 33, 129, 1030].map(columns => ({ rows: 11, columns }));

export function* hitsCases(scope: Scope): Generator<Posed> {
  for (const sizes of tiedSizes) yield hitsCase(sizes);
  for (const inputClass of NOT_SUMMED) yield hitsCase({ rows: 11, columns: 129, inputClass });
  for (const terms of lengthsOf(scope).slice(-1)) yield hitsCase({ rows: 2, columns: terms });
}

export function* sumCases(): Generator<Posed> {
  for (const count of sumLengths) yield { ...sumCase({ count }), terms: count };
  for (const inputClass of ADVERSARIAL) yield sumCase({ count: 1000, inputClass });
}
