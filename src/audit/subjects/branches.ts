/** Attention over sequences that begin alike: each row against its own sequence alone. */
import { attentionCall } from '../../kernels/attention.js';
import { attention } from '../../numerics/attention.js';
import { attentionBounds } from '../../numerics/attention-bounds.js';
import { type InputClass, inputValues, type StoredType } from '../../numerics/inputs.js';
import type { Vector } from '../../numerics/reference.js';
import { apart, sideBySide } from '../../numerics/side-by-side.js';
import { type Expected, floats, type Given, type Problem, type Scope, storedTypes, words } from '../problem.js';
import { attentionVariants } from '../variants.js';

/** Rows of a trunk and of its branches, multiples of the alignment but for the last one. */
const TREES: readonly (readonly [trunk: number, ...branches: number[]])[] = [
  [16, 8, 24, 5],
  [96, 32, 8, 8, 17],
];
const SIZES = { H: 4, KV: 2, D: 12 };

export function* branchProblems(scope: Scope): Generator<Problem> {
  const trees = scope.quick ? TREES.slice(0, 1) : TREES;
  for (const type of storedTypes(scope)) {
    for (const rows of trees) {
      for (const inputClass of ['uniform', 'near ties'] as const) yield problem(scope, type, rows, inputClass);
    }
  }
}

function problem(
  { adapter }: Scope,
  type: StoredType,
  [trunk, ...branches]: (typeof TREES)[number],
  inputClass: InputClass,
): Problem {
  const { H, KV, D } = SIZES;
  const T = branches.reduce((sum, rows) => sum + rows, trunk);
  const shape = { B: 1, T, ...SIZES };
  const label = `branches ${inputClass} ${trunk} ${branches}`;
  const make = (name: string, heads: number, kind: InputClass = inputClass) =>
    inputValues(kind, `${name} ${label}`, T * heads * D, { type });
  const spans = Array.from({ length: trunk }, () => [0, 0]);
  for (const rows of branches) {
    const start = spans.length;
    for (let i = 0; i < rows; i++) spans.push([trunk, start]);
  }
  const variants = [...attentionVariants(adapter, 'attention_forward', D)];
  const rescale = Math.min(...variants.map(([, variant]) => variant.rows));
  return {
    kernel: 'attention_forward',
    shape: `${type}, ${branches.length} branches of ${branches.join(' ')} on ${trunk}, heads ${H}/${KV} size ${D}`,
    inputClass,
    inputs: {
      qkv: floats(sideBySide([make('q', H), make('k', KV), make('v', KV, 'uniform')], T), type),
      branches: words(spans.flat()),
    },
    outputs: { out: { type, count: T * H * D }, logsumexp: { type: 'f32', count: H * T } },
    expected: given => expected(given, T, type, rescale),
    variants: variants.map(([name, variant]) => ({
      name,
      calls: bind => {
        const operands = {
          qkv: bind('qkv'),
          out: bind('out'),
          logsumexp: bind('logsumexp'),
          branches: bind('branches'),
        };
        return [attentionCall('attention_forward', variant, shape, operands)];
      },
    })),
  };
}

/** The last row of attention over what each row sees. */
function expected(given: Given, T: number, type: StoredType, rescale: number): Record<string, Expected> {
  const { H, KV, D } = SIZES;
  const parts = apart(given.qkv!, T, [H * D, KV * D, KV * D]) as [Vector, Vector, Vector];
  const empty = (count: number) => ({ reference: new Float64Array(count), bound: new Float64Array(count) });
  const [outs, logsumexps] = [empty(T * H * D), empty(H * T)];
  for (let t = 0; t < T; t++) {
    const [trunk, start] = [given.branches![2 * t]!, given.branches![2 * t + 1]!];
    const seen = Array.from({ length: t + 1 }, (_, j) => j).filter(j => j < trunk || j >= start);
    const [q, k, v] = parts.map(part => {
      const width = part.length / T;
      const rows = new Float64Array(seen.length * width);
      for (const [i, j] of seen.entries()) rows.set(part.subarray(j * width, (j + 1) * width), i * width);
      return rows;
    }) as [Vector, Vector, Vector];
    const own = { B: 1, T: seen.length, ...SIZES, first: seen.length - 1 };
    const { out, logsumexp } = attention({ q, k, v }, own);
    const bounds = attentionBounds({ q, k, v }, out, new Float64Array(out.length), own, { rescale, type });
    const last = seen.length - 1;
    outs.reference.set(out.subarray(last * H * D), t * H * D);
    outs.bound.set(bounds.out.subarray(last * H * D), t * H * D);
    for (let h = 0; h < H; h++) {
      logsumexps.reference[h * T + t] = logsumexp[h * seen.length + last]!;
      logsumexps.bound[h * T + t] = bounds.logsumexp[h * seen.length + last]!;
    }
  }
  return { out: outs, logsumexp: logsumexps };
}
