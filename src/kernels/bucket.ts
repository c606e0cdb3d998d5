/** Sizes are bucketed by powers of two, rounded up: the variant that is best for one is best for its neighbours. */
export const bucket = (size: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, size)));
