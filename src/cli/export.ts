import { exportGguf, exportModel, findModelFolder, modelCard } from '../index.js';
import type { CommandResult, Terminal } from './command.js';
import { type WrittenModelOptions, writeModel } from './written-model.js';

interface ExportCommandOptions extends WrittenModelOptions {
  model: string;
  format: 'hf' | 'gguf';
}

/** The command `export`. */
export async function runExport(terminal: Terminal, options: ExportCommandOptions): Promise<CommandResult> {
  const from = findModelFolder(options.model);
  const written = await writeModel(terminal, 'export', options, how =>
    (options.format === 'gguf' ? exportGguf : exportModel)(from, options.out, { ...how, card: modelCard(from) }),
  );
  return { model: from, ...written };
}
