/** What a schema has against a value, in words. */
import { z } from 'zod';
import { messageOf } from './errors.js';

/** Of a fault in reading and checking JSON: the first field that is not as it should be, and why; else its message. */
export function whyInvalid(error: unknown): string {
  if (!(error instanceof z.ZodError)) return messageOf(error);
  const { path, message } = error.issues[0]!;
  return path.length > 0 ? `${path.join('.')}: ${message}` : message;
}
