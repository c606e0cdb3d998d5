/** The option `--no-verify`, and what is checked where it is not given. */
import type { Command } from 'commander';
import { findModelFolder } from '../checkpoint/find.js';
import { checkModelFiles } from '../checkpoint/whole.js';
import type { Terminal } from './command.js';

export const addVerifyOption = (command: Command): Command =>
  command.option('--no-verify', 'do not compare files with their checksums first (it takes about a second per GB)');

/** Finds the model that the user means, and checks it. @throws UserError when there is none, or it is damaged. */
export async function checkedModelFolder(terminal: Terminal, path: string, verify: boolean): Promise<string> {
  const folder = findModelFolder(path);
  if (verify) for (const note of await checkModelFiles(folder)) terminal.note(note);
  return folder;
}
