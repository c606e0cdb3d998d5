/**
 * Kernels at the sizes of real models, in every variant: they hold their bounds there, and each bug that small sizes do
 * not show is seen.
 */
import { describe, expect, test } from 'vitest';
import { FAMILIES } from '../../src/audit/subjects/index.js';
import { attentionCases } from '../../src/cases/attention.js';
import type { Alter } from '../../src/cases/bench.js';
import type { Problem } from '../../src/cases/case.js';
import type { AttentionKernel, MatrixAttention } from '../../src/kernels/attention-variant.js';
import type { KernelCall } from '../../src/kernels/call.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { callsOf, faultsOf } from '../support/cases.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice({ checked: false });

/** A bug: what it is, the kernel's text, and what takes its place. */
type Bug = readonly [what: string, from: string | RegExp, to: string];

/** A kernel's call with a bug. @throws Error where the text is not there, lest nothing be broken. */
function broken(call: KernelCall, [what, from, to]: Bug): KernelCall {
  const source = call.source.replace(from, to);
  if (source === call.source) throw new Error(`'${call.label}' has no text for the bug '${what}'`);
  return { ...call, source };
}

/** The audit's problems of kernels whose shape has each of these parts, of each kernel the first. */
function problemsOf(kernels: readonly string[], ...parts: string[]): Map<string, Problem> {
  const scope = { adapter: context.device.adapter, quick: false };
  const found = new Map<string, Problem>();
  for (const family of FAMILIES.filter(({ kernels: own }) => kernels.every(kernel => own.includes(kernel)))) {
    for (const problem of family.problems(scope)) {
      const { kernel, shape, inputClass } = problem;
      const isWanted =
        kernels.includes(kernel) && inputClass === 'uniform' && parts.every(part => shape.includes(part));
      if (isWanted && !found.has(kernel)) found.set(kernel, problem);
      if (found.size === kernels.length) return found;
    }
  }
  return found;
}

/** Variants that are wrong. */
async function failing(problem: Problem, bug?: Bug): Promise<string[]> {
  const alter: Alter = call => (bug && call.label.startsWith(problem.kernel) ? broken(call, bug) : call);
  return [...(await faultsOf(context.device, problem, { alter })).keys()];
}

/** It is right in every variant, and wrong in every one with each of the bugs. */
async function check(problem: Problem, bugs: readonly Bug[]): Promise<void> {
  expect(await failing(problem), problem.shape).toEqual([]);
  const all = problem.variants.map(({ name }) => name);
  for (const bug of bugs) expect(await failing(problem, bug), bug[0]).toEqual(all);
}

const ATTENTION: readonly AttentionKernel[] = [
  'attention_forward',
  'attention_backward_query',
  'attention_backward_key_value',
];

const keysUpTo = (most: number): Bug => [
  `no key beyond ${most}`,
  /let keys = (min\(.*, T\));/,
  `let keys = min($1, ${most}u);`,
];
const queriesUpTo = (most: number): Bug => [
  `no query more than ${most} after a key`,
  't0 = first; t0 < T;',
  `t0 = first; t0 < min(T, first + ${most}u);`,
];
const keyHead: Bug = [
  'the key head of groups of four',
  /head \/ \((params\.)?H \/ params\.KV\)/,
  'head / min(params.H / params.KV, 4u)',
];
const sixHeads: Bug = ['six heads of a group', 'let group = H / params.KV;', 'let group = min(H / params.KV, 6u);'];
const batchOffset: Bug = [
  'the second sequence where it begins with as many heads as key heads',
  /batch \* (params\.)?T \* stride/,
  'batch * params.T * 3u * params.KV * D',
];
const batchOffsetOnMatrices: Bug = [
  batchOffset[0],
  '(batch * params.T + min(row, params.T - 1u)) * row_stride()',
  '(batch * params.T * 3u * params.KV * D + min(row, params.T - 1u) * row_stride())',
];

/** The long cases of attention, and what each of them shows. */
const attentionBugs: readonly {
  readonly shape: string;
  readonly ofQueries: readonly Bug[];
  readonly ofKeys: readonly Bug[];
}[] = [
  { shape: 'B 2 T 70 heads 8/1', ofQueries: [keyHead], ofKeys: [sixHeads] },
  { shape: 'B 2 T 70 heads 7/1', ofQueries: [keyHead], ofKeys: [sixHeads] },
  {
    shape: 'B 1 T 1100 heads 3/1',
    ofQueries: [keysUpTo(512), keysUpTo(1024)],
    ofKeys: [queriesUpTo(512), queriesUpTo(1024)],
  },
  { shape: 'B 2 T 600 heads 6/2', ofQueries: [batchOffset], ofKeys: [batchOffset] },
];

const bugsOf = (kernel: AttentionKernel, { ofQueries, ofKeys }: (typeof attentionBugs)[number]) =>
  kernel === 'attention_backward_key_value' ? ofKeys : ofQueries;

describe.each(attentionBugs)('attention, $shape', bugs => {
  test('in f32', async () => {
    const problems = problemsOf(ATTENTION, 'f32', bugs.shape);
    for (const kernel of ATTENTION) await check(problems.get(kernel)!, bugsOf(kernel, bugs));
  });

  test('in f16', async () => {
    for (const problem of problemsOf(ATTENTION, 'f16', bugs.shape).values()) await check(problem, []);
  });

  test('on subgroup matrices', async () => {
    const matrix: MatrixAttention = { lanes: 8, matrix: [8, 8, 8], subgroupsM: 2, blocks: 2, rows: 16 };
    const table = new VariantTable(context.device.adapter, {}, { attention: matrix });
    const cases = attentionCases({ B: 1, T: 1, H: 1, KV: 1, D: 16, type: 'f16' });
    const problems = problemsOf(ATTENTION, bugs.shape, 'on matrices');
    for (const kernel of ATTENTION) {
      const [bug] = bugsOf(kernel, bugs)
        .slice(-1)
        .map(bug => (bug === batchOffset ? batchOffsetOnMatrices : bug));
      // where an adapter has no such matrices, this is all that is held
      broken(callsOf(cases[kernel], table)[0]!, bug!);
      const problem = problems.get(kernel);
      if (problem) await check(problem, [bug!]);
    }
  });
});

const earlyBegin: Bug = ['a document that begins a row early', /return (documents\[.*\]);/, 'return max($1, 1u) - 1u;'];
const lateBegin: Bug = ['the first key of a document is not seen', />= (vec4u\()?(begin_|starts)/g, '> $1$2'];
const documentBugs: Readonly<Record<AttentionKernel, readonly Bug[]>> = {
  attention_forward: [
    earlyBegin,
    ['the first block of a document is not seen', /(document_\d+|starts) <= (vec4u\()?j0/g, '$1 < $2j0'],
    ['blocks of keys that go on beyond a document', /while \(.*\) \{ next--; \}/, ''],
  ],
  attention_backward_query: [earlyBegin, lateBegin],
  attention_backward_key_value: [
    earlyBegin,
    lateBegin,
    ['queries of the first document alone', 'begin_of(batch, t0) <= last', 'begin_of(batch, t0) <= first'],
  ],
};

const noCap: Bug = ['scores that are not capped', /return select\(x, SOFT_CAP .*;/, 'return x;'];
const noSlope: Bug = ['a slope of 1', 'return fma(-t, t, VALUE(1f));', 'return VALUE(1f);'];
const capBugs: Readonly<Record<AttentionKernel, readonly Bug[]>> = {
  attention_forward: [noCap],
  attention_backward_query: [noCap, noSlope],
  attention_backward_key_value: [noCap, noSlope],
};

describe.each([
  ['f32', 'heads 4/2', 'capped at 1.5'],
  ['f32', 'heads 4/2', 'capped at 50'],
  ['on matrices', 'capped at 50'],
])('attention, %s, %s, %s', (...parts) => {
  test.each(ATTENTION)('%s', async kernel => {
    const problem = problemsOf(ATTENTION, ...parts).get(kernel);
    if (problem) await check(problem, capBugs[kernel]); // not every adapter has matrices
  });
});

describe('attention within documents', () => {
  describe.each([
    ['f32', 'B 3 T 70', ' size 8, documents'],
    ['B 3 T 70', 'documents', 'on matrices'],
  ])('%s, %s, %s', (...parts) => {
    test.each(ATTENTION)('%s', async kernel => {
      const problem = problemsOf(ATTENTION, ...parts).get(kernel);
      if (problem) await check(problem, documentBugs[kernel]); // not every adapter has matrices
    });
  });

  test.each(ATTENTION)('within a window, %s', async kernel => {
    const wide: Bug = ['a key too many', 'end - min(end, WINDOW)', 'end - min(end, WINDOW + 1u)'];
    const narrow: Bug = ['a key too few', 'end - min(end, WINDOW)', 'end - min(end, WINDOW - 1u)'];
    await check(problemsOf(ATTENTION, 'f32, B 3 T 70', 'within 9').get(kernel)!, [wide, narrow]);
  });

  const edgeBugs: Readonly<Record<AttentionKernel, Bug>> = {
    attention_forward: [
      'the first block of the second row',
      'first_block(batch, first,',
      'first_block(batch, first + 1u,',
    ],
    attention_backward_query: [
      'the begin of the second row',
      'j0 = begin_of(batch, first)',
      'j0 = begin_of(batch, first + 1u)',
    ],
    attention_backward_key_value: [
      'no queries of the last key alone',
      'begin_of(batch, t0) <= last',
      'begin_of(batch, t0) < last',
    ],
  };
  describe.each([['f32'], ['on matrices']])('at the edge of a window, %s', part => {
    test.each(ATTENTION)('%s', async kernel => {
      const problem = problemsOf(ATTENTION, part, 'B 1 T 131 heads 8/1', 'within 34').get(kernel);
      if (problem) await check(problem, [edgeBugs[kernel]]); // not every adapter has matrices
    });
  });

  test('positions begin with the document', async () => {
    const late: Bug = ['a row late', '- documents[row]', '- min(documents[row], 16u)'];
    await check(problemsOf(['rope'], 'f32, B 2 T 131', 'documents').get('rope')!, [late]);
  });
});

/** Of products of a few rows; each is seen at the sizes that `shape` names. */
const fewRowsBugs: readonly (readonly [shape: string, variants: RegExp, bugs: readonly Bug[]])[] = [
  [
    'NT f32 f32 f32, M 1 N 33 K 8192',
    /^rows/,
    [
      ['one round of a team', 'k0 < whole;', 'k0 < min(whole, UNROLL * TEAM);'],
      ['columns beyond the edge', 'column >= N', 'column > N'],
    ],
  ],
  [
    'NT f32 f32 f32, M 5 N 67 K 577',
    /^rows/,
    [
      ['the last chunk', 'k < chunks;', 'k + 1u < chunks;'],
      ['the last row', 'row >= M', 'row + 1u >= M'],
      ['a row beyond the edge', 'row >= M', 'row > M'],
    ],
  ],
  [
    'NT f32 f32 f32, M 8 N 65537 K 12',
    /^rows/,
    [['workgroups of 12 bits', 'workgroup.x * TEAMS', '(workgroup.x & 0xfffu) * TEAMS']],
  ],
  ['NT f32 f32 f32, M 7 N 67 K 1037', /^rows, workgroup memory/, [['half of a team', 'half > 0u;', 'half > 1u;']]],
  [
    'NT f32 f32 f32, M 7 N 67 K 1037',
    /^rows, subgroups/,
    [['half of a subgroup', /\+= (subgroupShuffleXor\(\w+, 1u << 0u\))/g, '+= 0f * $1']],
  ],
  ['NT f32 bf16 f32, M 7 N 67 K 1037', /^rows/, [['the other half of a word', '[i % 2u]', '[1u - i % 2u]']]],
  [
    'NT f32 bf16 f32, M 8 N 70 K 4096',
    /^rows/,
    [['the second half of a chunk', 'add_four(x[1], y[1], add_four', 'add_four(x[1], y[0], add_four']],
  ],
];

test.each(fewRowsBugs)('matmul of a few rows, %s, %s', async (shape, wanted, bugs) => {
  const { problems } = FAMILIES.find(({ name }) => name === 'matmul_rows')!;
  const posed = [...problems({ adapter: context.device.adapter, quick: false })];
  const problem = posed.find(one => one.inputClass === 'uniform' && one.shape.startsWith(`${shape},`))!;
  const variants = problem.variants.filter(({ name }) => wanted.test(name));
  if (variants.length > 0) await check({ ...problem, variants }, bugs);
});

const firstColumns = (most: number): Bug => [
  `a sum of the first ${most} columns`,
  'c < C;',
  `c < min(C, ${most}u / VECTOR);`,
];

const lastLogits: Bug = ['a maximum without the last columns', 'v < V;', 'v < V - 1u;'];

const others: readonly (readonly [kernel: string, shape: string, bugs: readonly Bug[]])[] = [
  ['rope', 'f32, B 2 T 2100', [['the position modulo 1,024', /let position = (.*);/, 'let position = ($1) & 1023u;']]],
  ['cache_write', 'f32, 250 at', [['at most 128 new positions', 'row % params.T', '(row % params.T) % 128u']]],
  [
    'attention_cached',
    'f32, lengths 257 600',
    [
      ['the first 256 positions', /let length = (.*);/, 'let length = min($1, 256u);'],
      ['the first tile', 'j0 < length;', 'j0 < min(length, TILE);'],
    ],
  ],
  [
    'attention_cached',
    'f32, lengths 257 600 256 of 600, heads 7/1 size 8, within 5',
    [['a key too many', 'length - min(length, WINDOW)', 'length - min(length, WINDOW + 1u)']],
  ],
  [
    'embedding_backward',
    '1300 rows',
    [['the first 512 of an id', /let last = (.*);/, 'let last = min($1, first + 512u);']],
  ],
  ['embedding_forward', '40 rows of 70001', [['ids of 16 bits', 'ids[row] -', '(ids[row] & 0xffffu) -']]],
  ['rmsnorm_forward', 'to f32, 17 x 1030', [firstColumns(1024)]],
  ['rmsnorm_forward', 'to f32, 9 x 4096', [firstColumns(1024), firstColumns(2048)]],
  ['rmsnorm_backward', 'from f32, 17 x 1030', [firstColumns(1024)]],
  ['rmsnorm_backward', 'from f32, 9 x 4096', [firstColumns(1024), firstColumns(2048)]],
  [
    'head_norm_forward',
    'f32, 9 rows, queries of 2/1 heads of 256',
    [['a sum of the first 128 elements', 'd < D;', 'd < min(D, 128u);']],
  ],
  [
    'head_norm_backward',
    'f32, 260 rows, queries of 8/1 heads of 10',
    [['128 parts', '(head * params.parts + params.first + part)', '((head * params.parts + part) & 127u)']],
  ],
  ['swiglu_forward', 'f32, 17 x 1030', [['the first 1,024 columns', 'c < C;', 'c < min(C, 1024u);']]],
  ['swiglu_backward', 'f32, 17 x 1030', [['the first 1,024 columns', 'c < C;', 'c < min(C, 1024u);']]],
  ['soft_cap', 'capped at 30', [['tanh of half of it', '0.25f / SOFT_CAP', '0.125f / SOFT_CAP']]],
  ['attention_cached', 'f32, lengths 15 16 17 of 17, heads 4/2 size 24, capped at 1.5', [noCap]],
  ['cross_entropy', 'gradient in f32, 11 x 33, capped at 4', [noSlope]],
  ['cross_entropy', 'gradient in f32, 9 x 132, largest at 131', [lastLogits]],
  ['cross_entropy', 'gradient in f32, 2 x 32000, largest at 31999', [lastLogits]],
  ['cross_entropy', 'gradient in f32, 2 x 50257, largest at 50256', [lastLogits]],
];

test.each(others)('%s, %s', async (kernel, shape, bugs) => {
  await check(problemsOf([kernel], shape).get(kernel)!, bugs);
});
