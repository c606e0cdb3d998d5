/** What the thread that calls MPI is asked, and what it answers. */
import type { WireType } from './all-reduce.js';
import type { Launch } from './launch.js';

export interface ThreadData {
  readonly launch: Launch;
  /** The file of the library, where it is not the installed one. */
  readonly file: string | undefined;
  /** Words that both threads read: see WORD. */
  readonly words: Int32Array<SharedArrayBuffer>;
}

export const WORD = {
  /** Counts up while the main thread's loop turns. */
  tick: 0,
  /** The status with which all ranks are to be ended, plus one; 0 while none are. */
  abort: 1,
} as const;

export type Request =
  | { readonly kind: 'sum'; readonly values: ArrayBuffer; readonly wire: WireType }
  | { readonly kind: 'gather'; readonly bytes: Uint8Array }
  | { readonly kind: 'leave' };

export type Reply =
  | { readonly kind: 'joined'; readonly rank: number; readonly size: number; readonly version: string }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'sum'; readonly values: ArrayBuffer; readonly sentBytes: number; readonly ms: number }
  | { readonly kind: 'gather'; readonly bytes: readonly Uint8Array[] }
  | { readonly kind: 'left' }
  | { readonly kind: 'failed'; readonly reason: string };
