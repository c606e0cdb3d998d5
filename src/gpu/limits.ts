/** Limits that follow from those of an adapter. */
import type { AdapterDescription } from './adapters.js';

/** Returns the most bytes that one binding may have. */
export const maxBindingBytes = ({ limits }: Pick<AdapterDescription, 'limits'>): number =>
  Math.min(limits.maxBufferSize!, limits.maxStorageBufferBindingSize!);
