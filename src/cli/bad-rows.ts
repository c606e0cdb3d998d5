/** The option `--on-bad-row` of every command that reads documents, and what it left out. */
import { Option } from 'commander';
import { type BadRows, ON_BAD_ROW } from '../index.js';
import type { Terminal } from './command.js';

export const onBadRowOption = (): Option =>
  new Option('--on-bad-row <action>', 'where a line or row is no document (not JSON, null, no text): error, or skip it')
    .choices(ON_BAD_ROW)
    .default('error');

/** Says what was left out, if anything was. */
export function printLeftOut(terminal: Terminal, rows: BadRows, what = ''): void {
  if (rows.summary !== undefined) terminal.print(`${what}${rows.summary}`);
}
