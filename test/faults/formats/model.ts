/** Files of a model. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hfConfig, readEndIds, readModelConfig, readTokenIds } from '../../../src/checkpoint/hf-config.js';
import { checkModelFolder } from '../../../src/checkpoint/model-folder.js';
import { Adapter } from '../../../src/checkpoint/peft.js';
import { SafetensorsFile } from '../../../src/checkpoint/safetensors.js';
import { WeightFiles } from '../../../src/checkpoint/weight-files.js';
import { countParameters, parameterSpecs } from '../../../src/model/parameters.js';
import { LAYOUTS, safetensors, tensorsOf, writeCheckpoint } from '../../support/checkpoints.js';
import { mutateHeader, mutateJson } from '../mutate.js';
import { type Format, fileOf, sound, text } from './format.js';

export const SMOL = LAYOUTS['SmolLM, BF16, tied, 3 heads to 1']!;
const SHARDED = LAYOUTS['Mistral, BF16, sharded, heads narrower than the model']!;
const LLAMA3 = { ...SMOL.config, rope_parameters: { rope_type: 'llama3', factor: 8, low_freq_factor: 1 } };
const tensors = safetensors(new Map([...tensorsOf(SMOL.config, 'BF16')].slice(0, 4)));
writeCheckpoint(join(sound, 'sharded'), SHARDED);

function readSafetensors(path: string): void {
  const file = SafetensorsFile.open(path);
  try {
    for (const name of file.names) for (const _ of file.pieces(name, file.shape(name)));
  } finally {
    file.close();
  }
}

function readConfig(_: string, folder: string): void {
  const config = readModelConfig(folder);
  hfConfig(config, 'F32', readTokenIds(folder));
  parameterSpecs(config);
  countParameters(config);
}

/** A LoRA adapter of rank 2 for one matrix of the sharded model. */
const ADAPTER = { peft_type: 'LORA', r: 2, lora_alpha: 4, bias: 'none', use_rslora: false, rank_pattern: {} };
const SPECS = parameterSpecs(readModelConfig(join(sound, 'sharded')));
const { name: adapted, shape } = SPECS.find(({ name }) => name.endsWith('mlp.up_proj.weight'))!;
const [rows, columns] = shape as [number, number];
const zeros = (own: number[]) => ({ dtype: 'F32', shape: own, bytes: new Uint8Array(4 * own[0]! * own[1]!) });
const part = (of: 'A' | 'B') => `base_model.model.${adapted.replace('.weight', '')}.lora_${of}.weight`;
const ADAPTER_TENSORS = new Map([
  [part('A'), zeros([2, columns])],
  [part('B'), zeros([rows, 2])],
]);

function readAdapter(_: string, folder: string): void {
  const adapter = Adapter.open(folder, SPECS);
  try {
    for (const spec of SPECS) adapter.addTo(new Float64Array(spec.shape.reduce((a, b) => a * b, 1)), spec, 1);
  } finally {
    adapter.close();
  }
}

export const configs: readonly Format[] = [
  {
    name: 'safetensors',
    file: 'model.safetensors',
    inputs: 8000,
    whole: tensors,
    mutate: mutateHeader,
    read: readSafetensors,
  },
  {
    name: 'the index of safetensors',
    file: 'model.safetensors.index.json',
    inputs: 3000,
    whole: fileOf('sharded', 'model.safetensors.index.json'),
    mutate: mutateJson,
    prepare: folder => void writeCheckpoint(folder, SHARDED),
    read: (_, folder) => WeightFiles.open(folder).close(),
  },
  {
    name: 'config.json',
    file: 'config.json',
    inputs: 12_000,
    whole: text(SMOL.config),
    mutate: mutateJson,
    read: readConfig,
  },
  {
    name: 'config.json with scaled positions',
    file: 'config.json',
    inputs: 4000,
    whole: text({
      ...LLAMA3,
      rope_parameters: { ...LLAMA3.rope_parameters, high_freq_factor: 4, original_max_position_embeddings: 64 },
    }),
    mutate: mutateJson,
    read: readConfig,
  },
  {
    name: 'config.json beside weights',
    file: 'config.json',
    inputs: 3000,
    whole: text(SMOL.config),
    mutate: mutateJson,
    prepare: folder => void writeCheckpoint(folder, SMOL),
    read: (_, folder) => checkModelFolder(folder),
  },
  {
    name: "an adapter's config",
    file: 'adapter_config.json',
    inputs: 3000,
    whole: text(ADAPTER),
    mutate: mutateJson,
    prepare: folder => writeFileSync(join(folder, 'adapter_model.safetensors'), safetensors(ADAPTER_TENSORS)),
    read: readAdapter,
  },
  {
    name: "an adapter's weights",
    file: 'adapter_model.safetensors',
    inputs: 3000,
    whole: safetensors(ADAPTER_TENSORS),
    mutate: mutateHeader,
    prepare: folder => writeFileSync(join(folder, 'adapter_config.json'), text(ADAPTER)),
    read: readAdapter,
  },
  {
    name: 'generation_config.json',
    file: 'generation_config.json',
    inputs: 4000,
    whole: text({ bos_token_id: 1, eos_token_id: [0, 2], pad_token_id: null, do_sample: true }),
    mutate: mutateJson,
    prepare: folder => void writeCheckpoint(folder, SMOL),
    read: (_, folder) => readEndIds(folder),
  },
];
