/** What commands that write a model folder share: their progress and what they say at the end. */
import type { CopyOptions, WrittenModel } from '../index.js';
import { short } from '../report/numbers.js';
import type { Terminal } from './command.js';
import { DTYPES } from './options.js';

export interface WrittenModelOptions {
  out: string;
  dtype: keyof typeof DTYPES;
  shardSize: number;
  verify: boolean;
}

/** Writes by `write` with a progress that `label` names. @returns the part of the command's result that says what. */
export async function writeModel(
  terminal: Terminal,
  label: string,
  { out, dtype, shardSize, verify }: WrittenModelOptions,
  write: (
    options: CopyOptions & { readonly verify: boolean; readonly onNote: (text: string) => void },
  ) => Promise<WrittenModel>,
) {
  let progress: ReturnType<typeof terminal.progress> | undefined;
  const { weights: files, bytes } = await write({
    type: DTYPES[dtype],
    verify,
    shardBytes: shardSize,
    onNote: terminal.note,
    onProgress(done, total) {
      progress ??= terminal.progress(label, total, 'bytes');
      progress.update(done);
    },
  }).finally(() => progress?.stop());
  terminal.print(`${out}: ${short(bytes)} bytes of ${dtype} weights in ${files.length} file(s)`);
  return { out, dtype, bytes, files };
}
