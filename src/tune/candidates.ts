/**
 * The variants that are tried for a request, from the facts of the adapter. They depend on the request's key alone (form,
 * types, head size), not on what else it measures, so that one choice serves a whole bucket of sizes.
 */
import type { AdapterDescription } from '../gpu/adapters.js';
import { type AttentionVariant, defaultAttention } from '../kernels/attention-variant.js';
import { BYTES, type ElementType } from '../kernels/call.js';
import { defaultMatmul, type MatmulVariant, matrixShapes } from '../kernels/matmul-variant.js';
import type { KernelRequest } from '../kernels/table.js';

export type Variant = MatmulVariant | AttentionVariant;

/** A variant, and why the adapter cannot run it or would not be fast with it; the shipped one comes first. */
export interface Candidate {
  readonly variant: Variant;
  readonly refused?: string;
}

/** A thread that holds more sums than this spills them on every adapter there is. */
const MOST_SUMS = 128;
/** Lines of an unrolled inner loop beyond which compilation takes seconds. */
const MOST_UNROLLED = 4096;

export const sameVariant = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b);

/** One text for equal variants, whatever the order of their fields. */
export function canonical(variant: unknown): string {
  return JSON.stringify(variant, (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

/** A variant in a few words: `subgroup groups=1 columns=4 unroll=4`. */
export function showVariant(variant: Variant): string {
  const fields = Object.entries(variant).filter(([name]) => name !== 'kernel' && name !== 'subgroups');
  const kind = 'kernel' in variant ? variant.kernel : variant.subgroups ? 'subgroup' : 'memory';
  return [kind, ...fields.map(([name, value]) => `${name}=${Array.isArray(value) ? value.join('x') : value}`)].join(
    ' ',
  );
}

/** What runs where nothing was tuned. */
export function shippedVariant(adapter: AdapterDescription, request: KernelRequest): Variant {
  return request.kind === 'matmul'
    ? defaultMatmul(adapter, request.request)
    : defaultAttention(adapter, request.request.kernel);
}

export function candidatesFor(adapter: AdapterDescription, request: KernelRequest): Candidate[] {
  const shipped = shippedVariant(adapter, request);
  const all = request.kind === 'matmul' ? matmulVariants(adapter, request.request.types.b) : attentionVariants(adapter);
  // where time is short, what is near the shipped variant is tried first
  const others = all
    .filter(variant => !sameVariant(variant, shipped))
    .map(variant => ({ variant, distance: distance(shipped, variant) }))
    .sort((a, b) => a.distance - b.distance)
    .map(({ variant }) => variant);
  return [shipped, ...others].map(variant => {
    // what is shipped is tried even where an estimate is against it
    const estimate = variant === shipped ? undefined : unpromising(request, variant);
    const refused = refusal(adapter, request, variant) ?? estimate;
    return refused === undefined ? { variant } : { variant, refused };
  });
}

/** Doublings between the numbers of two variants, and one for every other difference. */
function distance(a: Variant, b: Variant): number {
  const [from, to] = [Object.entries(a), new Map<string, unknown>(Object.entries(b))];
  return from.reduce((sum, [name, value]) => {
    const other = to.get(name);
    if (typeof value === 'number' && typeof other === 'number') return sum + Math.abs(Math.log2(value / other));
    return sum + (canonical(value) === canonical(other) ? 0 : 1);
  }, 0);
}

/** Every combination of the values of each field. */
function product<Fields extends Record<string, readonly number[]>>(fields: Fields): { [K in keyof Fields]: number }[] {
  return Object.entries(fields).reduce<Record<string, number>[]>(
    (made, [name, values]) => made.flatMap(one => values.map(value => ({ ...one, [name]: value }))),
    [{}],
  ) as { [K in keyof Fields]: number }[];
}

const isSoftware = ({ kind }: AdapterDescription): boolean => kind !== 'hardware';

function matmulVariants(adapter: AdapterDescription, operand: ElementType): MatmulVariant[] {
  const lanes = adapter.subgroupSize;
  const variants: MatmulVariant[] = [];
  if (lanes > 0) {
    const rows = [8, 16, 32].map(count => count / lanes).filter(groups => groups >= 1 && Number.isInteger(groups));
    const groups = [...new Set([1, ...rows])];
    for (const tile of product({ groups, columns: [2, 4, 8], unroll: [1, 2, 4, 8] })) {
      variants.push({ kernel: 'subgroup', lanes, ...tile });
    }
  }
  // a CPU runs a barrier as the end of a loop over all threads: one tile shows whether that is worth it
  const threads = isSoftware(adapter)
    ? [[8, 8]]
    : [
        [8, 8],
        [8, 16],
        [16, 16],
      ];
  const tiles = isSoftware(adapter)
    ? product({ rows: [1], columns: [2], depth: [16] })
    : product({ rows: [1, 2], columns: [1, 2], depth: [8, 16, 32] });
  for (const [threadsM, threadsN] of threads as [number, number][]) {
    for (const tile of tiles) variants.push({ kernel: 'tiled', threadsM, threadsN, ...tile });
  }
  if (operand === 'f16') {
    for (const matrix of matrixShapes(adapter)) variants.push(...matrixVariants(lanes, matrix));
  }
  return variants;
}

/** A subgroup's tile of 64 x 64 reads the least from workgroup memory; smaller ones give small products more workgroups. */
function matrixVariants(lanes: number, matrix: readonly [number, number, number]): MatmulVariant[] {
  const [M, N] = matrix;
  const variants: MatmulVariant[] = [];
  for (const [subgroupsM, subgroupsN] of [
    [1, 1],
    [1, 2],
    [2, 2],
    [2, 4],
    [4, 2],
  ] as const) {
    for (const [height, width] of [
      [32, 32],
      [32, 64],
      [64, 64],
    ] as const) {
      for (const depth of [16, 32, 64]) {
        const tile = { rows: height / M, columns: width / N, depth };
        variants.push({ kernel: 'matrix', lanes, matrix, subgroupsM, subgroupsN, ...tile });
      }
    }
  }
  return variants;
}

function attentionVariants(adapter: AdapterDescription): AttentionVariant[] {
  const lanes = adapter.subgroupSize;
  const bySubgroups = product({ own: [1, 2], rows: [1, 2, 4, 8] }).map(tile => ({
    subgroups: true,
    workgroup: lanes,
    ...tile,
  }));
  const workgroup = isSoftware(adapter) ? [64] : [32, 64, 128, 256];
  const byMemory = product({
    workgroup,
    own: isSoftware(adapter) ? [1] : [1, 2],
    rows: isSoftware(adapter) ? [8] : [4, 8, 16, 32],
  });
  return [...(lanes > 0 ? bySubgroups : []), ...byMemory.map(tile => ({ subgroups: false, ...tile }))];
}

/** Why an adapter cannot run a variant of a request; undefined where it can. */
export function refusal(adapter: AdapterDescription, request: KernelRequest, variant: Variant): string | undefined {
  const needs = needsOf(request, variant);
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX, maxComputeWorkgroupStorageSize } =
    adapter.limits;
  const threads = Math.min(maxComputeInvocationsPerWorkgroup!, maxComputeWorkgroupSizeX!);
  if (needs.threads > threads) return `${needs.threads} threads, the adapter allows ${threads}`;
  if (needs.workgroupBytes > maxComputeWorkgroupStorageSize!) {
    return `${needs.workgroupBytes} bytes of workgroup memory, the adapter has ${maxComputeWorkgroupStorageSize}`;
  }
  if (needs.lanes !== undefined && needs.lanes !== adapter.subgroupSize) {
    return `subgroups of ${needs.lanes} lanes, the adapter has ${adapter.subgroupSize || 'no one size'}`;
  }
  return 'kernel' in variant && variant.kernel === 'matrix' ? matrixRefusal(adapter, request, variant) : undefined;
}

/** Why a variant is not worth a try. */
function unpromising(request: KernelRequest, variant: Variant): string | undefined {
  const { sums, unrolled } = needsOf(request, variant);
  if (sums > MOST_SUMS) return `${sums} sums a thread, more than registers hold`;
  if (unrolled > MOST_UNROLLED) return `${unrolled} unrolled operations take too long to compile`;
  return undefined;
}

const needsOf = (request: KernelRequest, variant: Variant): Needs =>
  'kernel' in variant ? matmulNeeds(variant) : attentionNeeds(request, variant);

function matrixRefusal(
  adapter: AdapterDescription,
  request: KernelRequest,
  { matrix, depth, rows, columns }: Extract<MatmulVariant, { kernel: 'matrix' }>,
): string | undefined {
  if (request.kind === 'matmul' && request.request.types.b !== 'f16') return 'subgroup matrices take f16 alone';
  // Mesa's llvmpipe crashes compiling a multiply-accumulate of matrices with other than 8 lanes
  if (isSoftware(adapter) && adapter.subgroupSize !== 8)
    return 'subgroup matrices crash software adapters of these lanes';
  if (!matrixShapes(adapter).some(shape => sameVariant(shape, matrix))) {
    return `subgroup matrices of ${matrix.join(' x ')}, which the adapter does not have`;
  }
  const whole = [rows, columns, depth / matrix[2]].every(n => n >= 1 && Number.isInteger(n));
  return whole ? undefined : `a tile that is not whole matrices of ${matrix.join(' x ')}`;
}

interface Needs {
  readonly threads: number;
  readonly workgroupBytes: number;
  /** Where the kernel relies on the size of a subgroup. */
  readonly lanes?: number;
  /** f32 sums that a thread holds all along. */
  readonly sums: number;
  /** Multiply-adds written out in the inner loop. */
  readonly unrolled: number;
}

function matmulNeeds(variant: MatmulVariant): Needs {
  const { columns } = variant;
  if (variant.kernel === 'subgroup') {
    const { lanes, groups, unroll } = variant;
    const sums = groups * lanes * columns;
    return { threads: lanes, workgroupBytes: 0, lanes, sums, unrolled: sums * unroll };
  }
  const { rows, depth } = variant;
  if (variant.kernel === 'tiled') {
    const { threadsM, threadsN } = variant;
    const sums = 16 * rows * columns;
    const staged = 4 * BYTES.f32 * depth * (threadsM * rows + threadsN * columns);
    return { threads: threadsM * threadsN, workgroupBytes: staged, sums, unrolled: sums };
  }
  const { lanes, subgroupsM, subgroupsN, matrix } = variant;
  const [M, N, K] = matrix;
  const PAD = 8;
  const subgroups = subgroupsM * subgroupsN;
  // either side may be stored along K or across it: the longer of the two counts
  const halves = (tile: number) => Math.max(tile * (depth + PAD), depth * (tile + PAD));
  const staged = BYTES.f16 * (halves(subgroupsM * rows * M) + halves(subgroupsN * columns * N));
  return {
    threads: lanes * subgroups,
    workgroupBytes: staged + BYTES.f32 * subgroups * M * N,
    lanes,
    sums: (rows * M * columns * N) / lanes,
    unrolled: (rows * columns * depth) / K,
  };
}

function attentionNeeds(request: KernelRequest, { subgroups, workgroup, own, rows }: AttentionVariant): Needs {
  const D = request.kind === 'attention' ? request.request.sizes.D : 0;
  return {
    threads: workgroup,
    workgroupBytes: subgroups ? 0 : 2 * BYTES.f32 * rows * D,
    ...(subgroups && { lanes: workgroup }),
    sums: own * rows, // the rows in registers, own · D, are few enough in all variants
    unrolled: 2 * own * rows * D,
  };
}
