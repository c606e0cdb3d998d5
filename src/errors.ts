/**
 * A fault that the user can mend: bad usage, configuration or input. The message names what was wrong, where, and what
 * to do. The command line prints it without a stack and exits with status 2.
 */
export class UserError extends Error {
  override name = 'UserError';
}

/** Returns the message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
