/** What commands that write a model folder share: their options, their progress and what they say at the end. */
import { type Command, Option } from 'commander';
import type { CopyOptions, WrittenModel } from '../index.js';
import { short } from '../report/numbers.js';
import { addVerifyOption } from './checked-files.js';
import type { Terminal } from './command.js';
import { byteSize } from './numbers.js';

/** The names of types of weights, as commands take them. */
const DTYPES = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;

export interface WrittenModelOptions {
  out: string;
  dtype: keyof typeof DTYPES;
  shardSize: number;
  verify: boolean;
}

/** Adds them. @param dtype the type of weights unless one is given; without it one has to be */
export function addWrittenModelOptions(command: Command, dtype?: keyof typeof DTYPES): void {
  const type = new Option('--dtype <type>', 'of the weights').choices(Object.keys(DTYPES));
  command
    .requiredOption('--out <folder>', 'where it goes')
    .addOption(dtype === undefined ? type.makeOptionMandatory() : type.default(dtype))
    .option('--shard-size <size>', 'bytes of a file above which there are several, as in 500MB', byteSize, 5e9);
  addVerifyOption(command);
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
