/** A shell block of README or docs; `mark` is what stands in the comment before it: 'runnable', or 'placeholder: …'. */
export interface Block {
  readonly file: string;
  /** The line of its fence. */
  readonly line: number;
  readonly mark: string | undefined;
  readonly code: string;
}
export function files(root: string): string[];
export function blocksOf(root: string, file: string): Block[];
