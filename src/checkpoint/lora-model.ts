/** A model with adapters beside it: loaded to be trained, and its adapters as PEFT's folder. */
import { join } from 'node:path';
import type { NewFolder } from '../files.js';
import type { Device } from '../gpu/device.js';
import { isOfAdapter, type LoraSettings } from '../model/lora.js';
import { Model } from '../model/model.js';
import type { ParameterSpec } from '../model/parameters.js';
import type { MatrixType, ModelOptions } from '../model/tensors.js';
import { type Companions, writeCompanionFiles } from './companions.js';
import { converted } from './export.js';
import { hfConfig } from './hf-config.js';
import { openModel, valuesOf } from './model-folder.js';
import { PREFIX } from './peft.js';
import { SafetensorsFile } from './safetensors.js';
import { floatTensor, writeSafetensors } from './safetensors-write.js';
import { ADAPTER, ADAPTER_CONFIG } from './weight-files.js';

export interface LoraModelOptions extends Pick<ModelOptions, 'precision' | 'variants'> {
  readonly lora: LoraSettings & { readonly baseType: MatrixType };
  /** Gives the values of the adapters. */
  readonly adapter: (spec: ParameterSpec) => Float32Array;
}

/**
 * Loads a base onto a device, with matrices in its `baseType`, to which they are rounded, and adapters beside it.
 * @throws UserError as `loadModel`, or when a value is too large for the type.
 */
export async function loadLoraModel(
  device: Device,
  base: string,
  { lora, adapter, ...options }: LoraModelOptions,
): Promise<Model> {
  const { config, weights } = openModel(base);
  const { baseType } = lora;
  const narrow = { f16: 'F16', bf16: 'BF16' } as const;
  const source = (spec: ParameterSpec) => {
    if (isOfAdapter(spec.name)) return adapter(spec);
    if (!spec.decay || baseType === 'f32') return valuesOf(weights, spec);
    return converted(weights, spec, narrow[baseType]) as Generator<Uint16Array>;
  };
  try {
    return await Model.create(device, config, source, { ...options, lora, matrixType: baseType });
  } finally {
    weights.close();
  }
}

/** Opens the adapters of a checkpoint. Close them with `close`. @throws UserError when the file is damaged. */
export function openAdapters(folder: string) {
  const file = SafetensorsFile.open(join(folder, ADAPTER));
  const read = ({ name, shape }: ParameterSpec) => file.read(`${PREFIX}${name}`, shape);
  return { read, close: () => file.close() };
}

/** Writes the adapters of a model in PEFT's layout, with the base's config.json and tokenizer beside them. */
export async function writeAdapters(
  model: Model,
  folder: NewFolder,
  base: string,
  tokenizerJson: string,
  companions?: Companions,
): Promise<void> {
  const json = (name: string, value: unknown) => folder.write(name, `${JSON.stringify(value, null, 2)}\n`);
  json('config.json', hfConfig(model.config, 'F32', companions?.tokenIds));
  json(ADAPTER_CONFIG, peftConfig(model.lora!, base));
  if (companions) writeCompanionFiles(folder, companions.files);
  folder.write('tokenizer.json', tokenizerJson);
  const tensors = model.saved.map(({ name, shape }) => floatTensor(`${PREFIX}${name}`, shape, () => model.read(name)));
  await writeSafetensors(folder.create(ADAPTER), tensors);
}

/** Returns the adapter_config.json that PEFT reads. */
const peftConfig = ({ rank, alpha, targets }: LoraSettings, base: string) => ({
  peft_type: 'LORA',
  task_type: 'CAUSAL_LM',
  base_model_name_or_path: base,
  r: rank,
  lora_alpha: alpha,
  target_modules: targets,
  lora_dropout: 0,
  bias: 'none',
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  modules_to_save: null,
  rank_pattern: {},
  alpha_pattern: {},
  use_rslora: false,
  use_dora: false,
});
