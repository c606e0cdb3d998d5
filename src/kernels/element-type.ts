/** The types of what buffers hold, and values of theirs on the host. */
import { floatsOfBfloats, wordsOfBfloats } from '../bfloat.js';
import { floatsOfHalves, wordsOfHalves } from '../half.js';

/**
 * What a buffer holds. f16 and bf16 are storage only: kernels compute in f32. bf16 is what weights may be stored in: it
 * is read (kernels/lib/bfloat.wgsl) by products as B, by the embedding as its table, and by `cast`; AdamW writes it.
 * u8 are codes of moments (kernels/lib/moment_codes.wgsl), four in a word.
 */
export const ELEMENT_TYPES = ['f32', 'f16', 'bf16', 'u32', 'u8'] as const;
export type ElementType = (typeof ELEMENT_TYPES)[number];
export const BYTES: Readonly<Record<ElementType, number>> = { f32: 4, f16: 2, bf16: 2, u32: 4, u8: 1 };

/** The values of a buffer's bytes, of which there are whole words: an odd number of halves has one to spare. */
export function floatsOf(bytes: ArrayBuffer, type: ElementType): Float32Array {
  if (type === 'f32') return new Float32Array(bytes);
  if (type === 'u32') return Float32Array.from(new Uint32Array(bytes));
  if (type === 'u8') return Float32Array.from(new Uint8Array(bytes));
  return type === 'f16' ? floatsOfHalves(bytes) : floatsOfBfloats(bytes);
}

/** Values as a buffer of the type takes them, in whole words. */
export function packed(values: ArrayLike<number>, type: ElementType): Float32Array | Uint32Array {
  if (type === 'f32') return Float32Array.from(values);
  if (type === 'u32') return Uint32Array.from(values);
  if (type === 'u8') return wordsOfBytes(values);
  return type === 'f16' ? wordsOfHalves(values) : wordsOfBfloats(values);
}

function wordsOfBytes(values: ArrayLike<number>): Uint32Array {
  const words = new Uint32Array(Math.ceil(values.length / 4));
  new Uint8Array(words.buffer).set(values);
  return words;
}
