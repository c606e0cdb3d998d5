/** What follows from an adapter's limits. */
import type { AdapterDescription } from './adapters.js';

/** Bytes that one binding may have. */
export const maxBindingBytes = ({ limits }: Pick<AdapterDescription, 'limits'>): number =>
  Math.min(limits.maxBufferSize!, limits.maxStorageBufferBindingSize!);
