/** The types of what buffers hold. */

/**
 * What a buffer holds. f16 and bf16 are storage only: kernels compute in f32. bf16 is what weights may be stored in: it is
 * read (kernels/lib/bfloat.wgsl) by products as B, by the embedding as its table, and by `cast`; nothing writes it.
 */
export const ELEMENT_TYPES = ['f32', 'f16', 'bf16', 'u32'] as const;
export type ElementType = (typeof ELEMENT_TYPES)[number];
export const BYTES: Readonly<Record<ElementType, number>> = { f32: 4, f16: 2, bf16: 2, u32: 4 };
