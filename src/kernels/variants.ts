/**
 * Which variant of a kernel runs for which sizes: what was tuned or recorded for the adapter, and a default for what
 * was not. Every choice is kept in `used`, so that a run can record what it ran with and be resumed to the same bits.
 */
import type { AdapterDescription } from '../gpu/adapters.js';
import { maxBindingBytes } from '../gpu/limits.js';
import {
  type AttentionRequest,
  type AttentionVariant,
  attentionKey,
  defaultAttention,
  matrixAttention,
} from './attention-variant.js';
import { defaultMatmul, type MatmulRequest, type MatmulVariant, matmulKey } from './matmul-variant.js';
import {
  defaultElements,
  defaultRows,
  type ElementRequest,
  type ElementVariant,
  elementKey,
  type RowRequest,
  type RowVariant,
  rowKey,
} from './row-variant.js';

interface KindOf<Request, Variant> {
  /** What a choice holds for. */
  key(request: Request): string;
  /** What runs where nothing was tuned. */
  shipped(adapter: AdapterDescription, request: Request): Variant;
}
const kind = <Request, Variant>(one: KindOf<Request, Variant>): KindOf<Request, Variant> => one;

/** The kinds of kernels that have variants. */
export const KINDS = {
  matmul: kind<MatmulRequest, MatmulVariant>({ key: matmulKey, shipped: defaultMatmul }),
  attention: kind<AttentionRequest, AttentionVariant>({
    key: attentionKey,
    shipped: (adapter, request) => matrixAttention(adapter, request) ?? defaultAttention(adapter, request),
  }),
  rows: kind<RowRequest, RowVariant>({ key: rowKey, shipped: defaultRows }),
  elements: kind<ElementRequest, ElementVariant>({ key: elementKey, shipped: defaultElements }),
};
export type Kind = keyof typeof KINDS;
export type RequestOf = { readonly [K in Kind]: Parameters<(typeof KINDS)[K]['key']>[0] };
export type VariantOf = { readonly [K in Kind]: ReturnType<(typeof KINDS)[K]['shipped']> };

/** One for every kind. */
export const byKind = <T>(make: (kind: Kind) => T): Record<Kind, T> =>
  Object.fromEntries((Object.keys(KINDS) as Kind[]).map(kind => [kind, make(kind)])) as Record<Kind, T>;

/** Variants by key, which says what a kernel was asked for. */
export type VariantChoices = { readonly [K in Kind]: Readonly<Record<string, VariantOf[K]>> };

/** What a kernel was asked for, and how often: the tuner's list of work. */
export type KernelRequest = {
  [K in Kind]: { readonly kind: K; readonly key: string; readonly calls: number; readonly request: RequestOf[K] };
}[Kind];

export class VariantTable {
  readonly adapter: AdapterDescription;
  readonly requests = new Map<string, KernelRequest>();
  readonly #choices: VariantChoices;
  readonly #always: Partial<VariantOf>;
  readonly #used: Record<Kind, Record<string, VariantOf[Kind]>> = byKind(() => ({}));

  /** `always`: what is taken for whatever has no choice. */
  constructor(adapter: AdapterDescription, choices: Partial<VariantChoices> = {}, always: Partial<VariantOf> = {}) {
    this.adapter = adapter;
    this.#choices = { ...byKind(() => ({})), ...choices };
    this.#always = always;
  }

  /** Bytes that one binding may have. */
  get maxBindingBytes(): number {
    return maxBindingBytes(this.adapter);
  }

  /** The variants that were asked for so far. */
  get used(): VariantChoices {
    return this.#used as VariantChoices;
  }

  /** The variant for what a kernel asks for. */
  of<K extends Kind>(kind: K, request: RequestOf[K]): VariantOf[K] {
    const { key: keyOf, shipped } = KINDS[kind] as KindOf<RequestOf[K], VariantOf[K]>;
    const key = keyOf(request);
    const calls = (this.requests.get(key)?.calls ?? 0) + 1;
    this.requests.set(key, { kind, key, calls, request } as KernelRequest);
    const variant: VariantOf[K] = this.#choices[kind][key] ?? this.#always[kind] ?? shipped(this.adapter, request);
    const used: Record<string, VariantOf[Kind]> = this.#used[kind];
    used[key] = variant;
    return variant;
  }
}
