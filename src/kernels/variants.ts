/**
 * Which variant of a kernel runs for which sizes: what was tuned or recorded for the adapter, and a default for what was
 * not. Every choice is kept in `used`, so that a run can record what it ran with and be resumed to the same bits.
 */
import type { AdapterDescription } from '../gpu/adapters.js';
import { maxBindingBytes } from '../gpu/limits.js';
import {
  type AttentionKernel,
  type AttentionSizes,
  type AttentionVariant,
  attentionKey,
  defaultAttention,
} from './attention-variant.js';
import type { ElementType } from './element-type.js';
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

/** The kinds of kernels that have variants. */
export interface VariantOf {
  readonly matmul: MatmulVariant;
  readonly attention: AttentionVariant;
  readonly rows: RowVariant;
  readonly elements: ElementVariant;
}
export type Kind = keyof VariantOf;

/** Variants by key, which says what a kernel was asked for. */
export type VariantChoices = { readonly [K in Kind]: Readonly<Record<string, VariantOf[K]>> };

export interface AttentionRequest {
  readonly kernel: AttentionKernel;
  readonly sizes: AttentionSizes;
  readonly type: ElementType;
}

export interface RequestOf {
  readonly matmul: MatmulRequest;
  readonly attention: AttentionRequest;
  readonly rows: RowRequest;
  readonly elements: ElementRequest;
}

/** What a kernel was asked for, and how often: the tuner's list of work. */
export type KernelRequest = {
  [K in Kind]: { readonly kind: K; readonly key: string; readonly calls: number; readonly request: RequestOf[K] };
}[Kind];

const NO_CHOICES: VariantChoices = { matmul: {}, attention: {}, rows: {}, elements: {} };

export class VariantTable {
  readonly adapter: AdapterDescription;
  readonly requests = new Map<string, KernelRequest>();
  readonly #choices: VariantChoices;
  readonly #used: { [K in Kind]: Record<string, VariantOf[K]> } = { matmul: {}, attention: {}, rows: {}, elements: {} };

  constructor(adapter: AdapterDescription, choices: Partial<VariantChoices> = {}) {
    this.adapter = adapter;
    this.#choices = { ...NO_CHOICES, ...choices };
  }

  /** Bytes that one binding may have. */
  get maxBindingBytes(): number {
    return maxBindingBytes(this.adapter);
  }

  /** The variants that were asked for so far. */
  get used(): VariantChoices {
    return this.#used;
  }

  matmul(request: MatmulRequest): MatmulVariant {
    return this.#take('matmul', matmulKey(request), request, () => defaultMatmul(this.adapter, request));
  }

  attention(kernel: AttentionKernel, sizes: AttentionSizes, type: ElementType): AttentionVariant {
    const request = { kernel, sizes, type };
    return this.#take('attention', attentionKey(kernel, sizes, type), request, () =>
      defaultAttention(this.adapter, kernel),
    );
  }

  rows(request: RowRequest): RowVariant {
    return this.#take('rows', rowKey(request), request, () => defaultRows(this.adapter));
  }

  elements(request: ElementRequest): ElementVariant {
    return this.#take('elements', elementKey(request), request, () => defaultElements(this.adapter));
  }

  #take<K extends Kind>(kind: K, key: string, request: RequestOf[K], shipped: () => VariantOf[K]): VariantOf[K] {
    const calls = (this.requests.get(key)?.calls ?? 0) + 1;
    this.requests.set(key, { kind, key, calls, request } as KernelRequest);
    const variant: VariantOf[K] = this.#choices[kind][key] ?? shipped();
    const used: Record<string, VariantOf[K]> = this.#used[kind];
    used[key] = variant;
    return variant;
  }
}
