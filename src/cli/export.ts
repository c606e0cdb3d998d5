import { exportGguf, exportModel, exportPeft, findModelFolder, modelCard } from '../index.js';
import type { CommandResult, Terminal } from './command.js';
import { type WrittenModelOptions, writeModel } from './written-model.js';

interface ExportCommandOptions extends WrittenModelOptions {
  model: string;
  format: keyof typeof FORMATS;
}

const FORMATS = { hf: exportModel, gguf: exportGguf, peft: exportPeft };

/** The command `export`. */
export async function runExport(terminal: Terminal, options: ExportCommandOptions): Promise<CommandResult> {
  const from = findModelFolder(options.model);
  const written = await writeModel(terminal, 'export', options, how =>
    FORMATS[options.format](from, options.out, {
      ...how,
      card: modelCard(from, options.format === 'peft' ? 'peft' : 'transformers'),
    }),
  );
  return { model: from, ...written };
}
