/** Low-rank adapters through the graph that training uses: both passes against float64, beside other columns. */
import { expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { gamma, matmulBound, storedBound } from '../../src/numerics/bounds.js';
import { gradientDeviation } from '../../src/numerics/gradcheck.js';
import { type StoredType, stored } from '../../src/numerics/inputs.js';
import * as reference from '../../src/numerics/reference.js';
import { addLowRank } from '../../src/ops/low-rank.js';
import { backwardFrom, expectWithin, input, parameter, run, uniform, useDevice } from '../support/gpu.js';

type Vector = reference.Vector;
const context = useDevice();

interface Sizes {
  readonly R: number;
  readonly K: number;
  readonly N: number;
  readonly r: number;
  readonly width: number;
  readonly first: number;
}
const SCALE = 1.7;

/** The op in float64, or with the magnitudes of all terms. */
function passes({ R, K, N, r, width, first }: Sizes, magnitudes: boolean) {
  const product = (a: Vector, b: Vector, [M, columns, inner]: number[], form: string) =>
    reference.matmul(
      a,
      b,
      { M: M!, N: columns!, K: inner!, transposeA: form === 'TN', transposeB: form === 'NT' },
      magnitudes,
    );
  const block = (wide: Vector) =>
    Float64Array.from({ length: R * N }, (_, i) => wide[Math.floor(i / N) * width + first + (i % N)]!);
  const scaled = (values: Vector) => values.map(value => SCALE * value);
  const down = (x: Vector, a: Vector) => scaled(product(x, a, [R, r, K], 'NT'));
  return {
    block,
    down,
    up: (narrow: Vector, b: Vector) => product(narrow, b, [R, N, r], 'NT'),
    dnarrow: (dy: Vector, b: Vector) => scaled(product(block(dy), b, [R, r, N], 'NN')),
    dx: (dnarrow: Vector, a: Vector) => product(dnarrow, a, [R, K, r], 'NN'),
    da: (dnarrow: Vector, x: Vector) => product(dnarrow, x, [r, K, R], 'TN'),
    db: (dy: Vector, narrow: Vector) => product(block(dy), narrow, [N, r, R], 'TN'),
  };
}

const ODD: readonly Sizes[] = [
  { R: 3, K: 5, N: 7, r: 1, width: 7, first: 0 },
  { R: 37, K: 33, N: 20, r: 3, width: 53, first: 13 },
  { R: 130, K: 96, N: 64, r: 8, width: 192, first: 128 },
];
const TYPES = [
  { x: 'f32', weight: 'f32', y: 'f32' },
  { x: 'f16', weight: 'f16', y: 'f16' },
  { x: 'f16', weight: 'f16', y: 'f32' },
] as const satisfies readonly Record<'x' | 'weight' | 'y', StoredType>[];

test.each(ODD.flatMap(sizes => TYPES.map(types => [sizes, types] as const)))('%o in %o', async (sizes, types) => {
  const { device } = context;
  if (types.x === 'f16' && !device.adapter.features.includes('shader-f16')) return;
  const { R, K, N, r, width, first } = sizes;
  const drawn = (name: string, count: number, type: StoredType) => stored(uniform(name, count, -1, 1), type);
  const [x, y] = [drawn('x', R * K, types.x), drawn('y', R * width, types.y)];
  const [a, b] = [drawn('a', r * K, types.weight), drawn('b', N * r, types.weight)];
  const dy = drawn('dy', R * width, types.y);

  const graph = new Graph();
  const X = parameter(device, 'x', [R, K], x, types.x);
  const Y = parameter(device, 'y', [R, width], y, types.y);
  const A = parameter(device, 'a', [r, K], a, types.weight);
  const B = parameter(device, 'b', [N, r], b, types.weight);
  const out = addLowRank(graph, Y, X, { a: A, b: B, first, scale: SCALE });
  backwardFrom(graph, out, input(device, 'dy', [R, width], dy, types.y));
  const actual = await run(device, graph, [out, A.gradient!, B.gradient!, X.gradient!]);

  const [exact, of] = [passes(sizes, false), passes(sizes, true)];
  const narrow = exact.down(x, a);
  const dnarrow = exact.dnarrow(dy, b);
  // sums in f32, times a factor that is rounded, in f32, then stored
  const errorOf = (values: Vector, magnitudes: Vector, terms: number) =>
    storedBound(matmulBound(magnitudes, terms + 2), values, types.x);
  const narrowError = errorOf(narrow, of.down(x, a), K);
  const dnarrowError = errorOf(dnarrow, of.dnarrow(dy, b), N);
  const plus = (...parts: Vector[]) => parts.reduce((sum, part) => sum.map((value, i) => value + part[i]!));
  /** What errors of one operand make of a product, and its own roundings. */
  const bounded = (product: (left: Vector) => Vector, left: Vector, error: Vector, terms: number) =>
    plus(product(error), matmulBound(product(plus(left.map(Math.abs), error)), terms));

  const added = exact.up(narrow, b);
  const addedBound = bounded(left => of.up(left, b), narrow, narrowError, r);
  const sum = Float64Array.from(y);
  const sumBound = new Float64Array(sum.length);
  added.forEach((value, i) => {
    const at = Math.floor(i / N) * width + first + (i % N);
    sum[at]! += value;
    sumBound[at] = addedBound[i]! + gamma(1) * (Math.abs(y[at]!) + Math.abs(value) + addedBound[i]!);
  });
  const outBound = storedBound(sumBound, sum, types.y).map((bound, i) => (sumBound[i] === 0 ? 0 : bound));
  expectWithin(actual[0]!, sum, outBound, 'y');
  const da = exact.da(dnarrow, x);
  expectWithin(
    actual[1]!,
    da,
    bounded(left => of.da(left, x), dnarrow, dnarrowError, R + 1),
    'dA',
  );
  const db = exact.db(dy, narrow);
  expectWithin(
    actual[2]!,
    db,
    bounded(right => of.db(dy, right), narrow, narrowError, R + 1),
    'dB',
  );
  const dx = exact.dx(dnarrow, a);
  const dxBound = bounded(left => of.dx(left, a), dnarrow, dnarrowError, r);
  expectWithin(actual[3]!, dx, storedBound(dxBound, dx, types.x), 'dx');

  // and these are the gradients of dy·y; of long sums, central differences are rounded away
  if (R > 100) return;
  const loss = () => {
    const sums = exact.up(exact.down(x, a), b);
    return exact.block(dy).reduce((total, value, i) => total + value * sums[i]!, 0);
  };
  for (const [values, gradient] of [
    [x, dx],
    [a, da],
    [b, db],
  ] as const) {
    expect(gradientDeviation(loss, values, gradient, 40).deviation).toBeLessThan(1e-7);
  }
});

test('only what is trained has a gradient, and B alone gets none of x', async () => {
  const { device } = context;
  const graph = new Graph();
  const x = input(device, 'x', [4, 6], uniform('x', 24));
  const y = input(device, 'y', [4, 8], uniform('y', 32));
  const a = parameter(device, 'a', [2, 6], uniform('a', 12));
  const b = parameter(device, 'b', [8, 2], new Float64Array(16));
  const out = addLowRank(graph, y, x, { a, b, first: 0, scale: 2 });
  backwardFrom(graph, out, input(device, 'dy', [4, 8], uniform('dy', 32)));
  const [sum, da, db] = await run(device, graph, [out, a.gradient!, b.gradient!]);
  expect(sum).toEqual(Float32Array.from(uniform('y', 32))); // B is 0
  expect(da!.every(value => value === 0)).toBe(true);
  expect(db!.some(value => value !== 0)).toBe(true);
});
