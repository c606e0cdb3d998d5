/** What passes between a command and the process that compiles for it. */
import type { AdapterDescription } from '../gpu/adapters.js';
import type { RunFields } from '../run/config.js';
import type { Kernel } from './kernels.js';

/** What the process is given, as JSON in its one argument. */
export interface Task {
  readonly models: readonly RunFields[];
  /** The beginnings of the names of the kernels that are wanted; none: all. */
  readonly names: readonly string[];
  readonly adapter?: string | undefined;
}

export interface Compiled extends Omit<Kernel, 'source'> {
  readonly seconds: number;
  /** Why it could not be compiled. */
  readonly failure?: string | undefined;
}

/** The last line on stdout, as JSON. `error`: why nothing could be compiled, which is the user's matter. */
export type TaskResult =
  | { readonly adapter: AdapterDescription; readonly kernels: readonly Compiled[] }
  | { readonly error: string };

/** The line before or after what a driver says of a kernel. */
export const markerLine = (side: 'begin' | 'end', index: number, count: number, label: string): string =>
  `@@ ${side} ${index + 1}/${count} ${label}`;

/** Reads a marker; undefined for another line. */
export function readMarker(line: string) {
  const found = /^@@ (begin|end) (\d+)\/(\d+) (.*)$/.exec(line);
  if (!found) return undefined;
  const [, side, index, count, label] = found as unknown as [string, 'begin' | 'end', string, string, string];
  return { side, index: Number(index) - 1, count: Number(count), label };
}
