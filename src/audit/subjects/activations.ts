/** SwiGLU, rotary embedding, embedding and their gradients. */

import { embeddingBackward, embeddingForward } from '../../kernels/embedding.js';
import { rope } from '../../kernels/rope.js';
import { swigluBackward, swigluForward } from '../../kernels/swiglu.js';
import {
  columnSumBound,
  flushedValues,
  ropeBound,
  storedBound,
  swigluBackwardBounds,
  swigluBound,
} from '../../numerics/bounds.js';
import { embeddingCases, ropeCases, rowCases, someRowCases } from '../../numerics/cases.js';
import { FORMATS, type Format, type InputClass, inputValues, type StoredType } from '../../numerics/inputs.js';
import * as reference from '../../numerics/reference.js';
import { apart, sideBySide } from '../../numerics/side-by-side.js';
import { groupRowsById } from '../../ops/embedding.js';
import { ropeTable } from '../../ops/rope.js';
import {
  floats,
  hasHalves,
  onlyVariant,
  type Problem,
  rowVariants,
  type Scope,
  storedTypes,
  words,
} from '../problem.js';

const CLASSES: readonly InputClass[] = ['wide', 'denormal', 'signed zeros', 'largest'];

export function* swigluProblems(scope: Scope): Generator<Problem> {
  for (const type of storedTypes(scope)) {
    const sizes = (scope.quick ? someRowCases(1, type) : rowCases).map(({ shape }) => shape);
    for (const { rows, columns } of sizes) yield* swiglu(scope, type, rows, columns, 'uniform');
    for (const inputClass of CLASSES) yield* swiglu(scope, type, 7, 129, inputClass);
  }
}

function* swiglu(scope: Scope, type: StoredType, R: number, C: number, inputClass: InputClass): Generator<Problem> {
  const label = `${R} ${C} ${inputClass}`;
  // the largest are gates; up and dy are multiplied by them, and exp(-gate) overflows for the most negative
  const most = inputClass === 'largest' ? (type === 'f32' ? 2 ** 60 : 2 ** 9) : type === 'f32' ? 2 ** 40 : 2 ** 5;
  const gate = inputValues(inputClass, `gate ${label}`, R * C, { type, low: -12, high: 12, most });
  const others = inputClass === 'largest' ? 'uniform' : inputClass;
  const [up, dy] = ['up', 'dy'].map(name => inputValues(others, `${name} ${label}`, R * C, { type, most: 2 ** 5 })) as [
    reference.Vector,
    reference.Vector,
  ];
  const x = floats(sideBySide([gate, up], R), type);
  const shape = `${type}, ${R} x ${C}`;
  const sizes = { rows: R, columns: C };
  yield {
    kernel: 'swiglu_forward',
    shape,
    inputClass,
    inputs: { x },
    outputs: { y: { type, count: R * C } },
    expected(given) {
      const [gate, up] = apart(given.x!, R, [C, C]) as [reference.Vector, reference.Vector];
      const y = reference.swiglu(gate, up);
      return { y: { reference: y, bound: storedBound(swigluBound(gate, up), y, type) } };
    },
    variants: rowVariants(scope, (table, bind) => swigluForward(table, sizes, { x: bind('x'), y: bind('y') })),
  };
  yield {
    kernel: 'swiglu_backward',
    shape,
    inputClass,
    inputs: { x, dy: floats(dy, type) },
    outputs: { dx: { type, count: 2 * R * C } },
    expected(given) {
      const [gate, up] = apart(given.x!, R, [C, C]) as [reference.Vector, reference.Vector];
      const { dgate, dup } = reference.swigluBackward(gate, up, given.dy!);
      const bounds = swigluBackwardBounds(gate, up, given.dy!);
      const dx = sideBySide([dgate, dup], R);
      return { dx: { reference: dx, bound: storedBound(sideBySide([bounds.dgate, bounds.dup], R), dx, type) } };
    },
    variants: rowVariants(scope, (table, bind) =>
      swigluBackward(table, sizes, { x: bind('x'), dy: bind('dy'), dx: bind('dx') }),
    ),
  };
}

export function* ropeProblems(scope: Scope): Generator<Problem> {
  for (const type of storedTypes(scope)) {
    for (const [i, size] of ropeCases.entries()) {
      if (scope.quick && i % 2 === 0) continue;
      for (const inverse of [false, true]) yield rotation(scope, type, size, inverse, 'uniform');
    }
    for (const inputClass of CLASSES) yield rotation(scope, type, ropeCases[1]!, false, inputClass);
  }
}

function rotation(
  scope: Scope,
  type: StoredType,
  [B, T, heads, rowHeads, D]: (typeof ropeCases)[number],
  inverse: boolean,
  inputClass: InputClass,
): Problem {
  const count = B * T * rowHeads * D;
  const most = FORMATS[type].largest / 4;
  const initial = inputValues(inputClass, `x ${inputClass} ${count}`, count, { type, most });
  const isRotated = (i: number) => Math.floor(i / D) % rowHeads < heads;
  const table = ropeTable(T, D, 10_000);
  return {
    kernel: 'rope',
    shape: `${type}, B ${B} T ${T} heads ${heads} of ${rowHeads} size ${D}${inverse ? ', inverse' : ''}`,
    inputClass,
    inputs: { table: floats(Float64Array.from(table)) },
    outputs: { x: { type, count, initial } },
    expected(given) {
      const x = given.x!;
      const rotated = reference.rope(x, B, T, rowHeads, D, 10_000, inverse ? -1 : 1);
      const y = rotated.map((value, i) => (isRotated(i) ? value : x[i]!));
      const bound = storedBound(ropeBound(x, D), y, type).map((value, i) => (isRotated(i) ? value : 0));
      return { x: { reference: y, bound } };
    },
    variants: onlyVariant(scope, (variants, bind) =>
      rope(variants, { B, T, heads, rowHeads, headSize: D }, inverse, { table: bind('table'), x: bind('x') }),
    ),
  };
}

type EmbeddingSize = (typeof embeddingCases)[number];

export function* embeddingProblems(scope: Scope): Generator<Problem> {
  for (const size of embeddingCases) yield* embedding(scope, size, 'uniform');
  for (const inputClass of ['cancelling', ...CLASSES] as const) yield* embedding(scope, embeddingCases[2]!, inputClass);
  const formats: Format[] = hasHalves(scope.adapter) && !scope.quick ? ['f16', 'bf16'] : ['bf16'];
  for (const size of embeddingCases) {
    for (const type of formats) yield rowsOfTable(scope, size, 'uniform', type);
  }
}

function embeddingIds([R, V]: EmbeddingSize, label: string): Uint32Array {
  const uniform = inputValues('uniform', `ids ${label}`, R, { low: 0, high: V });
  return Uint32Array.from(uniform, id => Math.min(id, V - 1));
}

function rowsOfTable(scope: Scope, size: EmbeddingSize, inputClass: InputClass, type: Format): Problem {
  const [R, V, C] = size;
  const label = `${inputClass} ${R} ${V} ${C}`;
  const ids = embeddingIds(size, label);
  const table = inputValues(inputClass, `table ${label}`, V * C, { type, most: FORMATS[type].largest / R / 2 });
  const sizes = { rows: R, columns: C, entries: V };
  return {
    kernel: 'embedding_forward',
    shape: `${type === 'f32' ? '' : `${type}, `}${R} rows of ${V} x ${C}`,
    inputClass,
    inputs: { ids: words(ids), table: floats(table, type) },
    outputs: { y: { type: 'f32', count: R * C } },
    expected(given) {
      const y = reference.embedding(given.table!, ids, C);
      // the others are widened by bits
      const bound = type === 'f16' ? flushedValues(y, type) : new Float64Array(R * C);
      return { y: { reference: y, bound } };
    },
    variants: rowVariants(scope, (variants, bind) =>
      embeddingForward(variants, sizes, { ids: bind('ids'), table: bind('table'), y: bind('y') }),
    ),
  };
}

function* embedding(scope: Scope, size: EmbeddingSize, inputClass: InputClass): Generator<Problem> {
  yield rowsOfTable(scope, size, inputClass, 'f32');
  const [R, V, C] = size;
  const label = `${inputClass} ${R} ${V} ${C}`;
  const dy = inputValues(inputClass, `dy ${label}`, R * C, { most: FORMATS.f32.largest / R / 2 });
  const ids = embeddingIds(size, label);
  const { order, starts } = groupRowsById(ids);
  const sizes = { rows: R, columns: C, entries: V };
  const shape = `${R} rows of ${V} x ${C}`;
  yield {
    kernel: 'embedding_backward',
    shape,
    inputClass,
    inputs: { ids: words(ids), order: words(order), starts: words(starts), dy: floats(dy) },
    outputs: { dtable: { type: 'f32', count: V * C, initial: inputValues('uniform', `dtable ${label}`, V * C) } },
    expected(given) {
      const [dy, before] = [given.dy!, given.dtable!];
      const sum = reference.embeddingBackward(dy, ids, V, C).map((value, i) => value + before[i]!);
      const magnitudes = reference.embeddingBackward(dy.map(Math.abs), ids, V, C);
      const bound = columnSumBound(
        magnitudes.map((value, i) => value + Math.abs(before[i]!)),
        R,
      );
      return { dtable: { reference: sum, bound: bound.map((value, i) => (magnitudes[i] === 0 ? 0 : value)) } };
    },
    variants: rowVariants(scope, (variants, bind) =>
      embeddingBackward(variants, sizes, {
        ids: bind('ids'),
        order: bind('order'),
        starts: bind('starts'),
        dy: bind('dy'),
        dtable: bind('dtable'),
      }),
    ),
  };
}
