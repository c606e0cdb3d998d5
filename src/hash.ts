/** A fingerprint of contents. */
import { createHash } from 'node:crypto';

/** In hexadecimal. */
export const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
