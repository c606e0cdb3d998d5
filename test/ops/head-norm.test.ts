/**
 * RMSNorm over heads through the graph that training uses: queries and keys of a row, both passes, values left alone.
 */
import { expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import type { Case, Expected, Given } from '../../src/cases/case.js';
import { headNormBackwardCase, headNormForwardCase } from '../../src/cases/head-norm.js';
import { openDevice } from '../../src/gpu/open-device.js';
import type { StoredType } from '../../src/numerics/inputs.js';
import type { Vector } from '../../src/numerics/reference.js';
import { headNorm, type QkNormOver } from '../../src/ops/head-norm.js';
import { caseInput, caseParameter, expectOutputs } from '../support/cases.js';
import { backwardFrom, expectWithin, input, parameter, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();
const EPS = 1e-6;

interface Sizes {
  readonly rows: number;
  readonly H: number;
  readonly KV: number;
  readonly D: number;
  readonly over?: QkNormOver;
  readonly unitOffset?: boolean;
}

/** What is left of `name` after one case and then another, each of which leaves the other's heads as they were. */
function inTurn(name: string, start: Vector, cases: readonly (readonly [one: Case, given: Given])[]): Expected {
  return cases.reduce<Expected>(
    ({ reference, bound }, [one, given]) => {
      const after = one.expected({ ...given, [name]: reference })[name]!;
      return { reference: after.reference, bound: bound.map((value, i) => value + after.bound[i]!) };
    },
    { reference: start, bound: new Float64Array(start.length) },
  );
}

async function check(device = context.device, sizes: Sizes, type: StoredType = 'f32') {
  const { rows, H, KV, D, over = 'head', unitOffset } = sizes;
  const width = (H + 2 * KV) * D;
  const [queries, keys] = (['queries', 'keys'] as const).map(kind => ({
    forward: headNormForwardCase({ ...sizes, kind, type }),
    backward: headNormBackwardCase({ ...sizes, kind, type }),
    weight: uniform(kind, over === 'head' ? D : (kind === 'queries' ? H : KV) * D),
  })) as [Sides, Sides];
  const graph = new Graph();
  const x = caseParameter(device, queries.forward, 'x', [rows, width]);
  const weights = {
    query: parameter(device, 'q', [queries.weight.length], queries.weight),
    key: parameter(device, 'k', [keys.weight.length], keys.weight),
  };
  const y = headNorm(graph, x, weights, { H, KV, D }, { eps: EPS, unitOffset }, over);
  backwardFrom(graph, y, caseInput(device, queries.backward, 'dx', [rows, width]));
  const { query, key } = weights;
  const results = await run(device, graph, [y, x.gradient!, query.gradient!, key.gradient!, x]);
  const [actual, dx, dquery, dkey, untouched] = results as [Float32Array, ...Float32Array[]];
  const values = queries.forward.outputs.x!.initial!.values;
  expect(untouched, 'an input that is still needed is copied first').toEqual(Float32Array.from(values));
  const normed = inTurn('x', values, [
    [queries.forward, { weight: queries.weight }],
    [keys.forward, { weight: keys.weight }],
  ]);
  expectWithin(actual, normed.reference, normed.bound, 'y');
  const given = ({ forward, weight }: Sides): Given => {
    const rstd = forward.expected({ x: values, weight }).rstd!.reference;
    return { weight, x: values, rstd, total: new Float64Array(weight.length) };
  };
  const arriving = queries.backward.outputs.dx!.initial!.values;
  const gradient = inTurn('dx', arriving, [
    [queries.backward, given(queries)],
    [keys.backward, given(keys)],
  ]);
  expectWithin(dx!, gradient.reference, gradient.bound, 'dx');
  expectOutputs(queries.backward, { total: dquery! }, { ...given(queries), dx: arriving });
  expectOutputs(keys.backward, { total: dkey! }, { ...given(keys), dx: arriving });
  return results;
}

interface Sides {
  readonly forward: Case;
  readonly backward: Case;
  readonly weight: Vector;
}

test.each([
  { rows: 7, H: 4, KV: 2, D: 10 },
  { rows: 65, H: 3, KV: 1, D: 64 },
  { rows: 9, H: 5, KV: 3, D: 26, over: 'projection' },
  { rows: 9, H: 4, KV: 2, D: 26, unitOffset: true },
] as const)('R $rows, $H heads to $KV of $D, in f32 and f16', async sizes => {
  await check(context.device, sizes);
  if (context.device.adapter.features.includes('shader-f16')) await check(context.device, sizes, 'f16');
});

test('beyond a binding the bits are the same', async () => {
  const sizes = { rows: 130, H: 3, KV: 1, D: 64 };
  const device = await openDevice({ checked: true, limits: { maxStorageBufferBindingSize: 4 * 5 * 64 * 100 } });
  expect(await check(device, sizes)).toEqual(await check(context.device, sizes));
  device.close();
});

test('without gradients of the weights nothing is summed', () => {
  const { device } = context;
  const graph = new Graph();
  const X = parameter(device, 'qkv', [8, 30], uniform('qkv', 240));
  const weight = input(device, 'weight', [10], uniform('weight', 10));
  const y = headNorm(graph, X, { query: weight, key: weight }, { H: 1, KV: 1, D: 10 }, { eps: EPS });
  backwardFrom(graph, y, y);
  const node = graph.nodes.find(({ op }) => op === 'head_norm_backward')!;
  expect([node.results.length, node.updates]).toEqual([1, []]);
});
