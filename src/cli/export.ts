import type { Command } from 'commander';
import { exportModel, findModelFolder } from '../index.js';
import { defineAction } from './command.js';
import { addWrittenModelOptions, type WrittenModelOptions, writeModel } from './written-model.js';

interface ExportCommandOptions extends WrittenModelOptions {
  model: string;
}

/** Adds the command `export`. */
export function addExportCommand(program: Command): void {
  const command = program
    .command('export')
    .description("a model as a folder in Hugging Face's layout, in f32, f16 or bf16")
    .requiredOption('--model <checkpoint>', 'checkpoint, model folder, or run (its latest checkpoint)');
  addWrittenModelOptions(command);
  defineAction<ExportCommandOptions>(command, async (terminal, options) => {
    const from = findModelFolder(options.model);
    const written = await writeModel(terminal, 'export', options, how => exportModel(from, options.out, how));
    return { model: from, ...written };
  });
}
