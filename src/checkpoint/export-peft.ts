/** Writes a LoRA adapter again, in another number format: a folder that PEFT reads. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { UserError } from '../errors.js';
import { writeFolderWhole } from '../files.js';
import { readBytes } from '../input-files.js';
import { parameterSpecs } from '../model/parameters.js';
import { baseOf } from './adapter-base.js';
import { readCompanions, writeCompanionFiles } from './companions.js';
import { type ExportOptions, narrowed } from './export.js';
import { readModelConfig } from './hf-config.js';
import { readObject } from './hf-json.js';
import { checkNewFolder, type WrittenModel } from './model-copy.js';
import { Adapter } from './peft.js';
import { SafetensorsFile } from './safetensors.js';
import { bytesOfTensors, type TensorSource, writeSafetensors } from './safetensors-write.js';
import { ADAPTER, ADAPTER_CONFIG, isAdapter } from './weight-files.js';
import { checkModelFiles } from './whole.js';

const FILES = ['config.json', 'tokenizer.json', 'training.json'];

/**
 * Writes the adapter of `from`, a checkpoint of a run with `lora` or an adapter's folder, to a new folder `out` that
 * appears whole: adapter_config.json, which names the base where it is now, the adapter's weights, and what is needed
 * to use both here.
 * @throws UserError when `from` is no adapter, is damaged or its base is gone, or a value is too large for `type`.
 * @example
 * import { exportPeft, findModelFolder, UserError } from 'babelgrad';
 *
 * try {
 *   await exportPeft(findModelFolder('runs/english'), 'english-adapter', { type: 'F32' });
 * } catch (error) {
 *   if (error instanceof UserError) console.log(error.message); // that run trained a whole model
 * }
 */
export async function exportPeft(from: string, out: string, options: ExportOptions): Promise<WrittenModel> {
  const { type, verify = true, onNote, onProgress, card } = options;
  if (!isAdapter(from)) throw new UserError(`'${from}' is a whole model, and no adapter: export it as hf or gguf`);
  checkNewFolder(out);
  if (verify) for (const note of await checkModelFiles(from)) onNote?.(note);
  Adapter.open(from, parameterSpecs(readModelConfig(from))).close(); // which checks it
  const base = baseOf(from);
  if (isAdapter(base)) {
    onNote?.(`note: the base '${base}' is an adapter itself, and PEFT wants a whole model: export that first as hf`);
  }
  const config = { ...readObject(join(from, ADAPTER_CONFIG)), base_model_name_or_path: resolve(base) };
  const file = SafetensorsFile.open(join(from, ADAPTER));
  try {
    const specs = file.names.map(name => ({ name, shape: file.shape(name), decay: true }));
    const bytes = bytesOfTensors(specs.map(({ shape }) => ({ shape, dtype: type })));
    const tensors = specs.map((spec): TensorSource => {
      const read = async () => narrowed(file.path, spec, type, file.read(spec.name, spec.shape));
      return { ...spec, dtype: type, read };
    });
    await writeFolderWhole(out, async target => {
      target.write(ADAPTER_CONFIG, `${JSON.stringify(config, null, 2)}\n`);
      for (const name of FILES) {
        if (existsSync(join(from, name))) target.write(name, readBytes(join(from, name)));
      }
      writeCompanionFiles(target, readCompanions(from).files);
      if (card !== undefined) target.write('README.md', card);
      await writeSafetensors(target.create(ADAPTER), tensors);
    });
    onProgress?.(bytes, bytes);
    return { weights: [ADAPTER], bytes };
  } finally {
    file.close();
  }
}
