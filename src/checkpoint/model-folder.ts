/** A model as a folder in Hugging Face's layout: config.json, weights, and tokenizer files beside them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { sizeOf } from '../autograd/tensor.js';
import { largestNeededId } from '../data/tokenizer-file.js';
import { UserError } from '../errors.js';
import type { NewFolder } from '../files.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import type { Device } from '../gpu/device.js';
import { readText } from '../input-files.js';
import type { ModelConfig } from '../model/config.js';
import { Model } from '../model/model.js';
import { type ParameterSpec, parameterSpecs } from '../model/parameters.js';
import type { MatrixType, ModelOptions } from '../model/tensors.js';
import { baseOf } from './adapter-base.js';
import { type Companions, writeCompanionFiles } from './companions.js';
import { hfConfig, readModelConfig } from './hf-config.js';
import { checkLinks } from './links.js';
import { MergedWeights } from './merged-weights.js';
import { Adapter } from './peft.js';
import { floatTensor, writeSafetensors } from './safetensors-write.js';
import { isAdapter, type ModelWeights, SINGLE, WeightFiles } from './weight-files.js';

/** A model folder of which everything has been checked but the values of its weights. */
export interface OpenModel {
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  /** What the user should know. */
  readonly notes: readonly string[];
}

export interface LoadOptions extends ModelOptions {
  readonly onNote?: ((text: string) => void) | undefined;
}

/**
 * Opens a model folder, or that of an adapter as one model with its base; close its `weights`.
 * @throws UserError when config.json asks for what is not supported, a file is missing or damaged, names, shapes or
 * types don't fit config.json, a link leads out of the folder, or the tokenizer has ids that the embedding has no row
 * for.
 */
export function openModel(folder: string): OpenModel {
  checkLinks(folder);
  const config = readModelConfig(folder);
  checkTokenizer(folder, config);
  const weights = isAdapter(folder) ? openMerged(folder, config) : WeightFiles.open(folder);
  try {
    return { config, weights, notes: weights.check(parameterSpecs(config)) };
  } catch (error) {
    weights.close();
    throw error;
  }
}

/** Opens an adapter with its base. @throws UserError when the base is gone, or is of another shape. */
function openMerged(folder: string, config: ModelConfig): ModelWeights {
  const adapter = Adapter.open(folder, parameterSpecs(config));
  try {
    return new MergedWeights(folder, openModel(baseOf(folder)).weights, adapter);
  } catch (error) {
    adapter.close();
    throw error;
  }
}

/** Checks a model folder. @returns what the user should know. @throws UserError as `openModel`. */
export function checkModelFolder(folder: string): readonly string[] {
  const { weights, notes } = openModel(folder);
  weights.close();
  return notes;
}

function checkTokenizer(folder: string, { vocabSize }: ModelConfig): void {
  const path = join(folder, 'tokenizer.json');
  if (!existsSync(path)) return;
  const { id, token } = largestNeededId(readText(path), [], path);
  if (id >= vocabSize) {
    throw new UserError(
      `'${path}' has the id ${id} (${JSON.stringify(token)}), and the embedding ${vocabSize} rows (vocab_size in ` +
        "config.json): the tokenizer is not this model's",
    );
  }
}

/**
 * Loads a model folder onto a device, piece by piece: beside the device's memory it takes a few MiB. With `trainable`
 * false, matrices stay in the two-byte type that they all have in the files, where the adapter can read it; else they
 * become f32, or are rounded to the `weightType` that is asked for.
 * @throws UserError as `openModel`, or when a weight is not finite.
 * @example
 * import { loadModel, openDevice } from 'babelgrad';
 *
 * const device = await openDevice();
 * const model = await loadModel(device, 'model', { trainable: false });
 * console.log(model.config.hiddenSize, await model.read('model.norm.weight'));
 */
export async function loadModel(
  device: Device,
  folder: string,
  { onNote, ...options }: LoadOptions = {},
): Promise<Model> {
  const { config, weights, notes } = openModel(folder);
  try {
    for (const note of notes) onNote?.(note);
    const matrixType = options.trainable === false ? matrixTypeOf(weights, config, device.adapter) : undefined;
    const hasBits = matrixType !== undefined && matrixType !== 'f32';
    const source = (spec: ParameterSpec) => (spec.decay && hasBits ? bitsOf(weights, spec) : valuesOf(weights, spec));
    return await Model.create(device, config, source, { ...options, matrixType });
  } finally {
    weights.close();
  }
}

/**
 * Returns the type in which `loadModel` holds a folder's matrices where the model is only used.
 * @throws UserError as `openModel`.
 */
export function matrixTypeIn(folder: string, adapter: AdapterDescription): MatrixType {
  const { config, weights } = openModel(folder);
  try {
    return matrixTypeOf(weights, config, adapter);
  } finally {
    weights.close();
  }
}

/**
 * Returns the two-byte type of all matrices, where each fills whole words with it and the adapter can read it; else
 * f32.
 */
function matrixTypeOf(weights: ModelWeights, config: ModelConfig, { features }: AdapterDescription): MatrixType {
  const matrices = parameterSpecs(config).filter(({ decay }) => decay);
  const [type, ...others] = new Set(matrices.map(spec => weights.typeOf(spec)));
  if (others.length > 0 || matrices.some(({ shape }) => sizeOf(shape) % 2 !== 0)) return 'f32';
  if (type === 'F16') return features.includes('shader-f16') ? 'f16' : 'f32';
  return type === 'BF16' ? 'bf16' : 'f32';
}

/** Yields the values of a tensor, piece by piece. */
export function* valuesOf(weights: ModelWeights, spec: ParameterSpec): Generator<Float32Array> {
  for (const { values } of weights.pieces(spec)) yield values;
}

function* bitsOf(weights: ModelWeights, spec: ParameterSpec): Generator<Uint16Array> {
  for (const { stored } of weights.storedPieces(spec)) yield stored as Uint16Array;
}

/**
 * Writes config.json, model.safetensors (f32) and, where given, tokenizer.json and what came with the model.
 * @param read what gives a parameter's values; by default the model does.
 */
export async function writeModel(
  model: Model,
  folder: NewFolder,
  tokenizerJson?: string,
  companions?: Companions,
  read = (name: string): Promise<Float32Array> => model.read(name),
): Promise<void> {
  const config = hfConfig(model.config, 'F32', companions?.tokenIds);
  folder.write('config.json', `${JSON.stringify(config, null, 2)}\n`);
  if (companions) writeCompanionFiles(folder, companions.files);
  if (tokenizerJson !== undefined) folder.write('tokenizer.json', tokenizerJson);
  const tensors = model.specs.map(({ name, shape }) => floatTensor(name, shape, () => read(name)));
  await writeSafetensors(folder.create(SINGLE), tensors);
}
