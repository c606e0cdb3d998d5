/** The most characters of a message: what it quotes may be of any length. */
const LONGEST = 2000;

/**
 * A fault that the user can mend: bad usage, configuration or input. The message names what was wrong, where, and what
 * to do. The command line prints it without a stack and exits with status 2. It is one line, whatever it quotes.
 */
export class UserError extends Error {
  override name = 'UserError';

  constructor(message: string, options?: ErrorOptions) {
    const line = message.replaceAll(/\s*[\r\n]\s*/g, ' ');
    super(line.length > LONGEST ? `${line.slice(0, LONGEST)} …` : line, options);
  }
}

/** Returns the message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
