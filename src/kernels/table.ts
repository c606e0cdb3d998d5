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
import type { ElementType } from './call.js';
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
export type KernelChoices = { readonly [K in Kind]: Readonly<Record<string, VariantOf[K]>> };

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

const NO_CHOICES: KernelChoices = { matmul: {}, attention: {}, rows: {}, elements: {} };

export class KernelTable {
  readonly adapter: AdapterDescription;
  readonly requests = new Map<string, KernelRequest>();
  readonly #choices: KernelChoices;
  readonly #used: { [K in Kind]: Record<string, VariantOf[K]> } = { matmul: {}, attention: {}, rows: {}, elements: {} };

  constructor(adapter: AdapterDescription, choices: Partial<KernelChoices> = {}) {
    this.adapter = adapter;
    this.#choices = { ...NO_CHOICES, ...choices };
  }

  /** Bytes that one binding may have. */
  get maxBindingBytes(): number {
    return maxBindingBytes(this.adapter);
  }

  /** The variants that were asked for so far. */
  get used(): KernelChoices {
    return this.#used;
  }

  matmul(request: MatmulRequest): MatmulVariant {
    const key = matmulKey(request);
    this.requests.set(key, { kind: 'matmul', key, calls: this.#callsOf(key) + 1, request });
    return this.#take('matmul', key, () => defaultMatmul(this.adapter, request));
  }

  attention(kernel: AttentionKernel, sizes: AttentionSizes, type: ElementType): AttentionVariant {
    const key = attentionKey(kernel, sizes, type);
    const request = { kernel, sizes, type };
    this.requests.set(key, { kind: 'attention', key, calls: this.#callsOf(key) + 1, request });
    return this.#take('attention', key, () => defaultAttention(this.adapter, kernel));
  }

  rows(request: RowRequest): RowVariant {
    const key = rowKey(request);
    this.requests.set(key, { kind: 'rows', key, calls: this.#callsOf(key) + 1, request });
    return this.#take('rows', key, () => defaultRows(this.adapter));
  }

  elements(request: ElementRequest): ElementVariant {
    const key = elementKey(request);
    this.requests.set(key, { kind: 'elements', key, calls: this.#callsOf(key) + 1, request });
    return this.#take('elements', key, () => defaultElements(this.adapter));
  }

  #take<K extends Kind>(kind: K, key: string, shipped: () => VariantOf[K]): VariantOf[K] {
    const variant: VariantOf[K] = this.#choices[kind][key] ?? shipped();
    const used: Record<string, VariantOf[K]> = this.#used[kind];
    used[key] = variant;
    return variant;
  }

  #callsOf(key: string): number {
    return this.requests.get(key)?.calls ?? 0;
  }
}
