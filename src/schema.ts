/** What a schema has against a value, in words. */
import { z } from 'zod';
import { messageOf } from './errors.js';

/**
 * Of a fault in reading and checking JSON: the first field that is not as it should be, and why; else its message.
 * `whole` names the value itself, where it is no field that is wrong.
 */
export function whyInvalid(error: unknown, whole?: string): string {
  if (!(error instanceof z.ZodError)) return messageOf(error);
  const { path, message } = error.issues[0]!;
  const field = path.join('.') || whole;
  return field ? `${field}: ${message}` : message;
}
