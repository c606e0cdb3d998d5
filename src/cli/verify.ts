/** The command `verify`: whether files are as they were written. */
import { short } from '../report/numbers.js';
import { type FolderCheck, verifyPath } from '../run/verify.js';
import type { CommandResult, Terminal } from './command.js';

/** The command `verify`. */
export async function verify(terminal: Terminal, _: object, paths: string[]): Promise<CommandResult> {
  const folders: FolderCheck[] = [];
  for (const path of paths) {
    for await (const check of verifyPath(path)) {
      folders.push(check);
      terminal.print(`${check.folder}: ${verdictOf(check)}`);
      for (const fault of check.faults) terminal.print(`  ${fault}`);
      if (check.wholeCheckpoint) terminal.print(`  '${check.wholeCheckpoint}' is the latest checkpoint that is whole`);
    }
  }
  const good = folders.every(({ faults }) => faults.length === 0);
  if (!good) process.exitCode = 1;
  return { good, folders };
}

function verdictOf({ files, faults, bytes }: FolderCheck): string {
  if (faults.length > 0) return 'damaged';
  return files === undefined
    ? 'good as far as can be seen without checksums'
    : `good, ${files} files, ${short(bytes)} bytes`;
}
