/** Cross-entropy with its gradient, and sums. */
import { crossEntropy, IGNORED_TARGET } from '../../kernels/cross-entropy.js';
import { sum } from '../../kernels/sum.js';
import { crossEntropyBounds, storedBound, sumBound } from '../../numerics/bounds.js';
import { peakedCases, rowCases, someRowCases, sumLengths } from '../../numerics/cases.js';
import { FORMATS, type InputClass, inputValues, type StoredType } from '../../numerics/inputs.js';
import * as reference from '../../numerics/reference.js';
import { floats, type Problem, rowVariants, type Scope, storedTypes, tunedRows, words } from '../problem.js';

const CLASSES: readonly InputClass[] = ['near ties', 'wide', 'denormal', 'signed zeros', 'largest'];
const LOSS_SCALE = 1024;
/** A logit that exceeds the others by 100 at least. */
const PEAK = 109;

export function* crossEntropyProblems(scope: Scope): Generator<Problem> {
  for (const type of storedTypes(scope)) {
    const sizes = (scope.quick ? someRowCases(2, type) : rowCases).map(({ shape }) => shape);
    for (const { rows, columns } of sizes) yield loss(scope, type, rows, columns, 'uniform');
    for (const inputClass of CLASSES) yield loss(scope, type, 7, 129, inputClass);
    for (const { rows, columns, peak } of scope.quick && type === 'f16' ? peakedCases.slice(0, 1) : peakedCases)
      yield loss(scope, type, rows, columns, 'uniform', { peak });
    for (const V of sumLengths.filter(V => type === 'f32' && (!scope.quick || V <= 4096))) {
      yield loss(scope, type, 2, V, 'uniform', { terms: V });
    }
  }
}

/** In f32 the gradient takes the place of the logits; in f16 it is written apart, times a loss scale. */
function loss(
  scope: Scope,
  type: StoredType,
  R: number,
  V: number,
  inputClass: InputClass,
  { terms, peak }: { readonly terms?: number; readonly peak?: number } = {},
): Problem {
  const label = `${R} ${V} ${inputClass}`;
  const options = { low: -9, high: 9, most: FORMATS.f32.largest / 4 };
  const logits = inputValues(inputClass, `logits ${label}`, R * V, options);
  if (peak !== undefined) for (let r = 0; r < R; r++) logits[r * V + peak] = PEAK;
  const drawn = inputValues('uniform', `targets ${label}`, R, { low: 0, high: V });
  const targets = Float64Array.from(drawn, (id, r) => (r % 5 === 4 ? IGNORED_TARGET : Math.min(Math.floor(id), V - 1)));
  const isHalf = type === 'f16';
  const scale = Math.fround(1 / R);
  const factor = isHalf ? scale * LOSS_SCALE : scale;
  const dlogits = { type, count: R * V };
  return {
    kernel: 'cross_entropy',
    shape: `gradient in ${type}, ${R} x ${V}${peak === undefined ? '' : `, largest at ${peak}`}`,
    inputClass,
    terms,
    inputs: {
      targets: words(targets),
      ...(isHalf && { logits: floats(logits), lossScale: floats(Float64Array.of(LOSS_SCALE)) }),
    },
    outputs: {
      losses: { type: 'f32', count: R },
      ...(isHalf ? { dlogits } : { logits: { ...dlogits, initial: logits } }),
    },
    expected(given) {
      const used = Float64Array.from(targets, id => (id === IGNORED_TARGET ? 0 : id));
      const exact = reference.crossEntropy(given.logits!, used, V, factor);
      const bounds = crossEntropyBounds(given.logits!, used, V, factor);
      const isIgnored = (row: number) => targets[row] === IGNORED_TARGET;
      const byRow = (values: reference.Vector) => values.map((value, r) => (isIgnored(r) ? 0 : value));
      const byElement = (values: reference.Vector) =>
        values.map((value, i) => (isIgnored(Math.floor(i / V)) ? 0 : value));
      const gradient = byElement(exact.dlogits);
      return {
        losses: { reference: byRow(exact.losses), bound: byRow(bounds.losses) },
        [isHalf ? 'dlogits' : 'logits']: {
          reference: gradient,
          bound: byElement(storedBound(bounds.dlogits, gradient, type)),
        },
      };
    },
    variants: tunedRows(scope, { kernel: 'cross_entropy', rows: R, columns: V, type }, (table, bind) =>
      crossEntropy(
        table,
        { rows: R, columns: V },
        { scale, ...(isHalf && { dlogits: bind('dlogits'), lossScale: bind('lossScale') }) },
        { targets: bind('targets'), logits: bind('logits'), losses: bind('losses') },
      ),
    ),
  };
}

export function* sumProblems(scope: Scope): Generator<Problem> {
  for (const n of sumLengths) yield total(scope, n, 'uniform', n);
  for (const inputClass of ['cancelling', 'wide', 'denormal', 'signed zeros', 'largest'] as const) {
    yield total(scope, 1000, inputClass);
  }
}

function total(scope: Scope, n: number, inputClass: InputClass, terms?: number): Problem {
  const values = inputValues(inputClass, `values ${n} ${inputClass}`, n, { most: FORMATS.f32.largest / n / 2 });
  const scale = Math.fround(1 / n);
  return {
    kernel: 'sum',
    shape: `${n}`,
    inputClass,
    terms,
    inputs: { values: floats(values) },
    outputs: { total: { type: 'f32', count: 1, initial: Float64Array.of(0.5) } },
    expected(given) {
      const before = given.total![0]!;
      const exact = before + scale * given.values!.reduce((a, b) => a + b, 0);
      return {
        total: {
          reference: Float64Array.of(exact),
          bound: Float64Array.of(sumBound(given.values!, scale, Math.abs(before) + Math.abs(exact))),
        },
      };
    },
    variants: rowVariants(scope, (table, bind) =>
      sum(table, n, scale, { values: bind('values'), total: bind('total') }),
    ),
  };
}
