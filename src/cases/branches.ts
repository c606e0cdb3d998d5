/** Attention over sequences that begin alike: each row against its own sequence alone. */
import { attentionBranches } from '../kernels/attention.js';
import { attention } from '../numerics/attention.js';
import { attentionBounds } from '../numerics/attention-bounds.js';
import { type InputClass, inputValues, type StoredType } from '../numerics/inputs.js';
import type { Vector } from '../numerics/reference.js';
import { apart, sideBySide } from '../numerics/side-by-side.js';
import { showSoftCap } from './attention.js';
import { type Case, Input, kernelCase, words } from './case.js';

export interface BranchesCase {
  /** Rows of the trunk and of its branches, multiples of the alignment but for the last one. */
  readonly trunk: number;
  readonly branches: readonly number[];
  readonly H: number;
  readonly KV: number;
  readonly D: number;
  /** What scores are capped at: default nothing. */
  readonly softCap?: number | undefined;
  readonly type: StoredType;
  readonly inputClass?: InputClass;
  /** Keys between two rescalings, at least, of the variants that are to run it. */
  readonly rescale: number;
}

export function branchesCase(given: BranchesCase): Case {
  const { trunk, branches, H, KV, D, softCap, type, inputClass = 'uniform' } = given;
  const T = branches.reduce((sum, rows) => sum + rows, trunk);
  const label = `branches ${inputClass} ${trunk} ${branches}`;
  const make = (name: string, heads: number, kind = inputClass) =>
    inputValues(kind, `${name} ${label}`, T * heads * D, { type });
  const spans = () => {
    const made = Array.from({ length: trunk }, () => [0, 0]);
    for (const rows of branches) {
      const start = made.length;
      for (let i = 0; i < rows; i++) made.push([trunk, start]);
    }
    return made.flat();
  };
  return kernelCase({
    kernel: 'attention_forward',
    shape:
      `${type}, ${branches.length} branches of ${branches.join(' ')} on ${trunk}, heads ${H}/${KV} size ${D}` +
      showSoftCap(softCap),
    inputClass,
    inputs: {
      qkv: new Input(type, T * (H + 2 * KV) * D, () =>
        sideBySide([make('q', H), make('k', KV), make('v', KV, 'uniform')], T),
      ),
      branches: words(2 * T, spans),
    },
    outputs: { out: { type, count: T * H * D }, logsumexp: { type: 'f32', count: H * T } },
    expected: ({ qkv, branches }) => expectedOf(qkv, branches, given),
    calls: (variants, operands) => attentionBranches(variants, { B: 1, T, H, KV, D, softCap }, operands),
  });
}

/** The last row of attention over what each row sees. */
function expectedOf(qkv: Vector, branches: Vector, { H, KV, D, softCap, type, rescale }: BranchesCase) {
  const T = branches.length / 2;
  const parts = apart(qkv, T, [H * D, KV * D, KV * D]) as [Vector, Vector, Vector];
  const empty = (count: number) => ({ reference: new Float64Array(count), bound: new Float64Array(count) });
  const [outs, logsumexps] = [empty(T * H * D), empty(H * T)];
  for (let t = 0; t < T; t++) {
    const [trunk, start] = [branches[2 * t]!, branches[2 * t + 1]!];
    const seen = Array.from({ length: t + 1 }, (_, j) => j).filter(j => j < trunk || j >= start);
    const [q, k, v] = parts.map(part => {
      const width = part.length / T;
      const rows = new Float64Array(seen.length * width);
      for (const [i, j] of seen.entries()) rows.set(part.subarray(j * width, (j + 1) * width), i * width);
      return rows;
    }) as [Vector, Vector, Vector];
    const last = seen.length - 1;
    const own = { B: 1, T: seen.length, H, KV, D, softCap, first: last };
    const { out, logsumexp } = attention({ q, k, v }, own);
    const bounds = attentionBounds({ q, k, v }, out, new Float64Array(out.length), own, { rescale, type });
    outs.reference.set(out.subarray(last * H * D), t * H * D);
    outs.bound.set(bounds.out.subarray(last * H * D), t * H * D);
    for (let h = 0; h < H; h++) {
      logsumexps.reference[h * T + t] = logsumexp[h * seen.length + last]!;
      logsumexps.bound[h * T + t] = bounds.logsumexp[h * seen.length + last]!;
    }
  }
  return { out: outs, logsumexp: logsumexps };
}
