/** The weights of a model folder: model.safetensors, or shards that model.safetensors.index.json assigns tensors to. */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../errors.js';
import { readJson } from '../input-files.js';
import { EMBEDDING, HEAD, type ParameterSpec } from '../model/parameters.js';
import { isFileName } from '../paths.js';
import { SafetensorsFile, type StoredPiece, showIndex, type TensorPiece } from './safetensors.js';
import type { WeightType } from './weight-types.js';

export const SINGLE = 'model.safetensors';
export const INDEX = 'model.safetensors.index.json';

/** The weights of a LoRA adapter in PEFT's layout, and its configuration. */
export const ADAPTER = 'adapter_model.safetensors';
export const ADAPTER_CONFIG = 'adapter_config.json';

export const isAdapter = (folder: string): boolean => existsSync(join(folder, ADAPTER_CONFIG));

export const hasWeights = (folder: string): boolean =>
  [SINGLE, INDEX, ADAPTER].some(file => existsSync(join(folder, file)));

/**
 * Returns the files of a folder's weights: the only file, or the shards that the index names.
 * @throws UserError when the index names none.
 */
export function weightFilesOf(folder: string): string[] {
  if (isAdapter(folder)) return [ADAPTER];
  const index = join(folder, INDEX);
  if (existsSync(join(folder, SINGLE)) || !existsSync(index)) return [SINGLE];
  return [...new Set(readIndex(index).values())];
}

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/**
 * Whether a tensor is a buffer that old checkpoints of Llama 2 hold beside the weights; it follows from config.json.
 */
const isDerived = (name: string): boolean => name.endsWith('.rotary_emb.inv_freq');

type Spec = Pick<ParameterSpec, 'name' | 'shape'>;

/** What reads the weights of a model: those of its files, or of a base with an adapter. */
export type ModelWeights = Pick<
  WeightFiles,
  'path' | 'check' | 'typeOf' | 'pieces' | 'storedPieces' | 'read' | 'close'
>;

/** Open files whose headers have been checked. Close them with `close`. */
export class WeightFiles {
  /** The file that names the tensors: the only file, or the index. */
  readonly path: string;
  readonly #files: readonly SafetensorsFile[];
  readonly #places: ReadonlyMap<string, SafetensorsFile>;

  private constructor(path: string, files: readonly SafetensorsFile[]) {
    this.path = path;
    this.#files = files;
    this.#places = new Map(files.flatMap(file => file.names.map(name => [name, file] as const)));
  }

  /**
   * Opens the files of a folder.
   * @throws UserError when there are no weights, a file is damaged, or index and shards don't fit each other.
   */
  static open(folder: string): WeightFiles {
    const single = join(folder, SINGLE);
    const index = join(folder, INDEX);
    if (existsSync(single) || !existsSync(index)) return new WeightFiles(single, [SafetensorsFile.open(single)]);
    const map = readIndex(index);
    const shards = [...new Set(map.values())];
    for (const shard of shards) {
      if (existsSync(join(folder, shard))) continue;
      const [first, ...more] = [...map].filter(([, file]) => file === shard);
      const others = more.length > 0 ? ` and ${more.length} more` : '';
      throw new UserError(`'${index}' names the shard '${shard}' for '${first![0]}'${others}, but it is not there`);
    }
    const files: SafetensorsFile[] = [];
    try {
      for (const shard of shards) files.push(SafetensorsFile.open(join(folder, shard)));
      checkIndex(index, map, files);
      return new WeightFiles(index, files);
    } catch (error) {
      for (const file of files) file.close();
      throw error;
    }
  }

  /**
   * Checks the tensors. No weight is read, except where a model of tied embeddings comes with a head all the same,
   * which must be the embedding.
   * @returns what the user should know.
   * @throws UserError unless the tensors are exactly those of a model, each of its shape and a type that can be read.
   */
  check(specs: readonly Spec[]): string[] {
    const known = new Set(specs.map(({ name }) => name));
    const extra = [...this.#places.keys()].filter(name => !known.has(name) && name !== HEAD && !isDerived(name));
    if (extra.length > 0) {
      const shown = extra.slice(0, 5).join(', ') + (extra.length > 5 ? ` and ${extra.length - 5} more` : '');
      throw new UserError(`'${this.path}' has tensors that config.json does not call for: ${shown}`);
    }
    for (const spec of specs) this.typeOf(spec);
    if (known.has(HEAD) || !this.#places.has(HEAD)) return [];
    this.#checkTiedHead(specs.find(({ name }) => name === EMBEDDING)!);
    return [
      `'${this.path}' holds '${HEAD}' beside tied embeddings: it is the embedding bit for bit, and is passed over`,
    ];
  }

  /** Checks a head of tied embeddings. @throws UserError unless it has the bits of the embedding. */
  #checkTiedHead(embedding: Spec): void {
    const head = { ...embedding, name: HEAD };
    const refuse = (how: string) => {
      throw new UserError(
        `'${this.path}' holds '${HEAD}' that ${how} '${EMBEDDING}', though config.json says tie_word_embeddings: ` +
          'true. If the model has a head of its own, say false there; else leave the tensor out.',
      );
    };
    const [type, other] = [this.typeOf(embedding), this.typeOf(head)];
    if (type !== other) refuse(`is ${other}, not ${type} as`);
    const copies = this.storedPieces(head);
    for (const { stored, first } of this.storedPieces(embedding)) {
      const copy = copies.next().value!.stored;
      const at = stored.findIndex((bits, i) => bits !== copy[i]);
      if (at >= 0) refuse(`differs at ${showIndex(first + at, embedding.shape)} from`);
    }
  }

  /**
   * Returns a tensor's type.
   * @throws UserError when it is missing, has another shape, or a type that weights don't have.
   */
  typeOf({ name, shape }: Spec): WeightType {
    return this.#file(name).typeOf(name, shape);
  }

  /** Yields a tensor's values from first to last. @throws UserError as `typeOf`, or when a value is not finite. */
  pieces({ name, shape }: Spec): Generator<TensorPiece> {
    return this.#file(name).pieces(name, shape);
  }

  /** Yields pieces as `pieces` does, but without the values: they are checked, not widened. */
  storedPieces({ name, shape }: Spec): Generator<StoredPiece> {
    return this.#file(name).storedPieces(name, shape);
  }

  /** Returns all values of a tensor. @throws UserError as `pieces`. */
  read({ name, shape }: Spec): Float32Array {
    return this.#file(name).read(name, shape);
  }

  #file(name: string): SafetensorsFile {
    const file = this.#places.get(name);
    if (!file) throw new UserError(`'${this.path}' has no tensor '${name}', which config.json calls for`);
    return file;
  }

  close(): void {
    for (const file of this.#files) file.close();
  }
}

/** Reads the index: tensor names to file names. */
function readIndex(path: string): ReadonlyMap<string, string> {
  const parsed = indexSchema.safeParse(readJson(path));
  if (!parsed.success) throw new UserError(`'${path}' has no weight_map from tensor names to file names`);
  const map = new Map(Object.entries(parsed.data.weight_map));
  if (map.size === 0) throw new UserError(`'${path}' has an empty weight_map`);
  for (const [name, file] of map) {
    if (!isFileName(file)) {
      throw new UserError(`'${path}' places '${name}' in '${file}', which is not the name of a file beside it`);
    }
  }
  return map;
}

function checkIndex(path: string, map: ReadonlyMap<string, string>, files: readonly SafetensorsFile[]): void {
  for (const file of files) {
    const shard = basename(file.path);
    const names = new Set(file.names);
    for (const name of names) {
      if (map.get(name) === shard) continue;
      const said = map.has(name) ? `places in '${map.get(name)}'` : 'does not list';
      throw new UserError(`'${file.path}' has a tensor '${name}' that '${path}' ${said}`);
    }
    for (const [name, place] of map) {
      if (place === shard && !names.has(name)) {
        throw new UserError(`'${path}' places '${name}' in '${shard}', which has no such tensor`);
      }
    }
  }
}
