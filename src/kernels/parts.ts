/** Parts of a sum: what a workgroup adds up by itself, before the parts are added in their order. */

/** The parts of a sum over all elements of a tensor. */
export const ELEMENTS_PER_PART = 16_384;
export const elementParts = (count: number): number => Math.ceil(count / ELEMENTS_PER_PART);

/** The parts of a sum over rows that a norm's backward pass makes while it has them at hand. */
export const ROWS_PER_PART = 8;
export const rowParts = (rows: number): number => Math.ceil(rows / ROWS_PER_PART);
