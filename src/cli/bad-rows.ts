/** What `--on-bad-row` left out. */
import type { BadRows } from '../index.js';
import type { Terminal } from './command.js';

/** Says what was left out, if anything was. */
export function printLeftOut(terminal: Terminal, rows: BadRows, what = ''): void {
  if (rows.summary !== undefined) terminal.print(`${what}${rows.summary}`);
}
