/** Says in words what a schema has against a value. */
import { z } from 'zod';
import { messageOf } from './errors.js';

/**
 * Explains a fault in reading and checking JSON: the first field that is not as it should be, and why; if there is no
 * such field, the error's message. `whole` names the value itself, where the fault is in no field.
 */
export function whyInvalid(error: unknown, whole?: string): string {
  if (!(error instanceof z.ZodError)) return messageOf(error);
  const { path, message } = error.issues[0]!;
  const field = path.join('.') || whole;
  return field ? `${field}: ${message}` : message;
}
