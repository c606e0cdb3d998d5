import { type Command, Option } from 'commander';
import { exportModel, findModelFolder } from '../index.js';
import { short } from '../report/numbers.js';
import { addVerifyOption } from './checked-files.js';
import { defineAction } from './command.js';
import { byteSize } from './numbers.js';

/** The names of types of weights, as commands take them. */
export const DTYPES = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;

interface ExportCommandOptions {
  model: string;
  out: string;
  dtype: keyof typeof DTYPES;
  shardSize: number;
  verify: boolean;
}

/** Adds the command `export`. */
export function addExportCommand(program: Command): void {
  const command = program
    .command('export')
    .description("a model as a folder in Hugging Face's layout, in f32, f16 or bf16")
    .requiredOption('--model <checkpoint>', 'checkpoint, model folder, or run (its latest checkpoint)')
    .requiredOption('--out <folder>', 'where it goes')
    .addOption(new Option('--dtype <type>', 'of the weights').choices(Object.keys(DTYPES)).makeOptionMandatory())
    .option('--shard-size <size>', 'bytes of a file above which there are several, as in 500MB', byteSize, 5e9);
  addVerifyOption(command);
  defineAction<ExportCommandOptions>(command, async (terminal, { model, out, dtype, shardSize, verify }) => {
    const from = findModelFolder(model);
    let progress: ReturnType<typeof terminal.progress> | undefined;
    const { weights, bytes } = await exportModel(from, out, {
      type: DTYPES[dtype],
      verify,
      shardBytes: shardSize,
      onNote: terminal.note,
      onProgress(done, total) {
        progress ??= terminal.progress('export', total, 'bytes');
        progress.update(done);
      },
    }).finally(() => progress?.stop());
    terminal.print(`${out}: ${short(bytes)} bytes of ${dtype} weights in ${weights.length} file(s)`);
    return { model: from, out, dtype, bytes, files: weights };
  });
}
