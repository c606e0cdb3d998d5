/** What is checked where `--no-verify` is not given. */
import { findModelFolder } from '../checkpoint/find.js';
import { checkModelFiles } from '../checkpoint/whole.js';
import type { Terminal } from './command.js';

/** Finds the model that the user means, and checks it. @throws UserError when there is none, or it is damaged. */
export async function checkedModelFolder(terminal: Terminal, path: string, verify: boolean): Promise<string> {
  const folder = findModelFolder(path);
  if (verify) for (const note of await checkModelFiles(folder)) terminal.note(note);
  return folder;
}
