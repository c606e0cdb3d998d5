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
import { defaultRows, type RowVariant } from './reduce.js';

/** Variants by key: `matmul …`, `attention_forward …` and so on. */
export interface KernelChoices {
  readonly matmul: Readonly<Record<string, MatmulVariant>>;
  readonly attention: Readonly<Record<string, AttentionVariant>>;
}

export interface AttentionRequest {
  readonly kernel: AttentionKernel;
  readonly sizes: AttentionSizes;
  readonly type: ElementType;
}

/** What a kernel was asked for, and how often: the tuner's list of work. */
export type KernelRequest =
  | { readonly kind: 'matmul'; readonly key: string; readonly calls: number; readonly request: MatmulRequest }
  | { readonly kind: 'attention'; readonly key: string; readonly calls: number; readonly request: AttentionRequest };

export const NO_CHOICES: KernelChoices = { matmul: {}, attention: {} };

export class KernelTable {
  readonly adapter: AdapterDescription;
  readonly requests = new Map<string, KernelRequest>();
  readonly #choices: KernelChoices;
  readonly #used = { matmul: {} as Record<string, MatmulVariant>, attention: {} as Record<string, AttentionVariant> };

  constructor(adapter: AdapterDescription, choices: KernelChoices = NO_CHOICES) {
    this.adapter = adapter;
    this.#choices = choices;
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
    const variant = this.#choices.matmul[key] ?? defaultMatmul(this.adapter, request);
    this.#used.matmul[key] = variant;
    return variant;
  }

  attention(kernel: AttentionKernel, sizes: AttentionSizes, type: ElementType): AttentionVariant {
    const key = attentionKey(kernel, sizes, type);
    const request = { kernel, sizes, type };
    this.requests.set(key, { kind: 'attention', key, calls: this.#callsOf(key) + 1, request });
    const variant = this.#choices.attention[key] ?? defaultAttention(this.adapter, kernel);
    this.#used.attention[key] = variant;
    return variant;
  }

  #callsOf(key: string): number {
    return this.requests.get(key)?.calls ?? 0;
  }

  /** How a row is shared out among threads. */
  get rows(): RowVariant {
    return defaultRows(this.adapter);
  }
}
