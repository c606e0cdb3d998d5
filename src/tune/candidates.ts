/** The variants that are tried for a request; they follow from the facts of the adapter. */
import type { AdapterDescription } from '../gpu/adapters.js';
import { type KernelRequest, KINDS } from '../kernels/variants.js';
import { isSoftware, type Variant } from './kind.js';
import { kindOf } from './kinds/index.js';

/** A variant, and why the adapter cannot run it or would not be fast with it; the shipped one comes first. */
export interface Candidate {
  readonly variant: Variant;
  readonly refused?: string;
}

/** The sums beyond which a thread's registers overflow on every GPU there is; a CPU fetches them from its cache. */
const MOST_SUMS = { hardware: 128, software: 256 };
/** Apple's GPUs have 128 registers of 32 bits a thread: 96 sums spilled by their compiler's count. */
const MOST_SUMS_BY_VENDOR: Readonly<Record<string, number>> = { apple: 64 };
/** The lines of an unrolled inner loop beyond which compilation takes seconds. */
const MOST_UNROLLED = 4096;

export const sameVariant = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b);

/** Returns one text for equal variants, whatever the order of their fields. */
export function canonical(variant: unknown): string {
  return JSON.stringify(variant, (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

/** Returns a variant in a few words: `subgroup groups=1 columns=4 unroll=4`. */
export function showVariant(variant: Variant): string {
  const fields = Object.entries(variant).filter(([name]) => name !== 'kernel');
  const shown = fields.map(([name, value]) => `${name}=${Array.isArray(value) ? value.join('x') : value}`);
  return [...(methodOf(variant) ?? []), ...shown].join(' ');
}

/** Says how threads share what they load or add up; elementwise kernels share nothing. */
function methodOf(variant: Variant): [string] | undefined {
  if ('kernel' in variant) return [variant.kernel];
  if ('matrix' in variant) return ['matrix'];
  if ('threadsM' in variant) return ['tiled'];
  return 'lanes' in variant ? [variant.lanes > 0 ? 'subgroup' : 'memory'] : undefined;
}

/** Returns the variant that runs where nothing was tuned. */
const shippedVariant = (adapter: AdapterDescription, request: KernelRequest): Variant =>
  KINDS[request.kind].shipped(adapter, request.request as never);

export function candidatesFor(adapter: AdapterDescription, request: KernelRequest): Candidate[] {
  const shipped = shippedVariant(adapter, request);
  const kind = kindOf(request);
  const estimate = (variant: Variant): number =>
    (isSoftware(adapter) ? undefined : kind.estimate?.(request.request, variant)) ?? Number.MAX_VALUE;
  // where time is short, the most promising variants are tried first, and of those alike the nearest to the shipped one
  const others = kind
    .variants(adapter, request.request)
    .filter(variant => !sameVariant(variant, shipped))
    .map(variant => ({ variant, estimate: estimate(variant), distance: distance(shipped, variant) }))
    .sort((a, b) => a.estimate - b.estimate || a.distance - b.distance)
    .map(({ variant }) => variant);
  return [shipped, ...others].map(variant => {
    // the shipped variant is tried even where an estimate is against it
    const against = variant === shipped ? undefined : unpromising(adapter, request, variant);
    const refused = refusal(adapter, request, variant) ?? against;
    return refused === undefined ? { variant } : { variant, refused };
  });
}

/** Counts the doublings between the numbers of two variants, and one for every other difference. */
function distance(a: Variant, b: Variant): number {
  const [from, to] = [Object.entries(a), new Map<string, unknown>(Object.entries(b))];
  return from.reduce((sum, [name, value]) => {
    const other = to.get(name);
    if (typeof value === 'number' && typeof other === 'number') {
      return sum + Math.abs(Math.log2(Math.max(0.5, value) / Math.max(0.5, other)));
    }
    return sum + (canonical(value) === canonical(other) ? 0 : 1);
  }, 0);
}

/** Says why an adapter cannot run a variant of a request; undefined where it can. */
export function refusal(adapter: AdapterDescription, request: KernelRequest, variant: Variant): string | undefined {
  const kind = kindOf(request);
  const { threads: asked, workgroupBytes, lanes } = kind.needs(request.request, variant);
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX, maxComputeWorkgroupStorageSize } =
    adapter.limits;
  const threads = Math.min(maxComputeInvocationsPerWorkgroup!, maxComputeWorkgroupSizeX!);
  if (asked > threads) return `${asked} threads, the adapter allows ${threads}`;
  if (workgroupBytes > maxComputeWorkgroupStorageSize!) {
    return `${workgroupBytes} bytes of workgroup memory, the adapter has ${maxComputeWorkgroupStorageSize}`;
  }
  const { subgroupSizes } = adapter;
  if (lanes !== undefined && !subgroupSizes.includes(lanes)) {
    return `subgroups of ${lanes} lanes, the adapter has ${subgroupSizes.join(' or ') || 'no one size'}`;
  }
  return kind.refusal?.(adapter, request.request, variant);
}

/** Says why a variant is not worth a try. */
function unpromising(adapter: AdapterDescription, request: KernelRequest, variant: Variant): string | undefined {
  const { sums, unrolled } = kindOf(request).needs(request.request, variant);
  const most = isSoftware(adapter) ? MOST_SUMS.software : (MOST_SUMS_BY_VENDOR[adapter.vendor] ?? MOST_SUMS.hardware);
  if (sums > most) return `${sums} sums a thread, more than registers hold`;
  if (unrolled > MOST_UNROLLED) return `${unrolled} unrolled operations take too long to compile`;
  return undefined;
}
