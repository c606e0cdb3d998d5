/** Writes a model folder again in another number format, in shards where it is large: for use elsewhere. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readDocumentMarks } from '../data/document-marks.js';
import { UserError } from '../errors.js';
import { type NewFolder, writeFolderWhole } from '../files.js';
import { readBytes, readText } from '../input-files.js';
import { type ParameterSpec, parameterSpecs } from '../model/config.js';
import { type Companions, readCompanions, withMarks, writeCompanionFiles } from './companions.js';
import { hfConfig } from './hf-config.js';
import { openModel } from './model-folder.js';
import { showIndex } from './safetensors.js';
import { bytesOfTensors, type TensorSource, writeSafetensors } from './safetensors-write.js';
import { readTrainingRecord } from './training-record.js';
import { INDEX, SINGLE, type WeightFiles } from './weight-files.js';
import { narrow, type StoredBits, storedBits, type WeightType } from './weight-types.js';
import { checkModelFiles } from './whole.js';

export interface ExportOptions {
  /** Whether the model's files are compared with their checksums first; by default they are. */
  readonly verify?: boolean | undefined;
  readonly type: WeightType;
  /** The most bytes of tensors in a file, unless one tensor alone has more; 5 GB by default. */
  readonly shardBytes?: number | undefined;
  /** Is told how many bytes of weights were written, and of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
}

export interface Exported {
  /** The names of the files with weights. */
  readonly weights: readonly string[];
  /** The bytes of all tensors. */
  readonly bytes: number;
}

/**
 * Writes the model of `from` to a new folder `out` that appears whole: config.json, weights, the tokenizer's files, and
 * the record of a training here, by which `cpt` knows where the model comes from. Values are rounded to the nearest,
 * ties to even; those that are stored as `type` already keep their bytes. No device is needed.
 * @throws UserError when the folder `from` cannot be loaded, `out` is a file or holds something, or a value is too
 * large for `type`.
 * @example
 * import { exportModel, findModelFolder } from 'babelgrad';
 *
 * const { weights } = await exportModel(findModelFolder('runs/english'), 'english-bf16', { type: 'BF16' });
 * console.log(weights); // the names of its files
 */
export async function exportModel(from: string, out: string, options: ExportOptions): Promise<Exported> {
  if (existsSync(out) && (!statSync(out).isDirectory() || readdirSync(out).length > 0)) {
    throw new UserError(`'${out}' is there already; name a new folder, or remove it`);
  }
  const { type, verify = true, shardBytes = 5e9, onProgress, onNote } = options;
  const verified = verify ? await checkModelFiles(from) : [];
  const { config, weights, notes } = openModel(from);
  try {
    for (const note of [...verified, ...notes]) onNote?.(note);
    const companions = withTokenizerConfig(from, readCompanions(from));
    const record = readTrainingRecord(from);
    const specs = parameterSpecs(config);
    const sources = specs.map(({ name, shape }) => ({ name, shape, dtype: type }));
    const total = bytesOfTensors(sources);
    let done = 0;
    const tensors = specs.map((spec, i): TensorSource => {
      const read = function* () {
        for (const bits of converted(weights, spec, type)) {
          yield bits;
          done += bits.byteLength;
          onProgress?.(done, total);
        }
      };
      return { ...sources[i]!, read };
    });
    const shards = shardsOf(tensors, shardBytes);
    await writeFolderWhole(out, async target => {
      writeJson(target, 'config.json', hfConfig(config, type, companions.tokenIds));
      const tokenizer = join(from, 'tokenizer.json');
      if (existsSync(tokenizer)) target.write('tokenizer.json', readBytes(tokenizer));
      writeCompanionFiles(target, companions.files);
      if (record !== undefined) target.write('training.json', record);
      for (const [file, members] of shards) await writeSafetensors(target.create(file), members);
      if (shards.size > 1) {
        const map = [...shards].flatMap(([file, members]) => members.map(({ name }) => [name, file] as const));
        writeJson(target, INDEX, { metadata: { total_size: total }, weight_map: Object.fromEntries(map) });
      }
    });
    return { weights: [...shards.keys()], bytes: total };
  } finally {
    weights.close();
  }
}

const writeJson = (folder: NewFolder, name: string, value: unknown): void =>
  folder.write(name, `${JSON.stringify(value, null, 2)}\n`);

/** The largest finite value of each type, for a message. */
const LARGEST: Readonly<Record<WeightType, string>> = { F32: '3.4e38', F16: '65504', BF16: '3.39e38' };

function* converted(weights: WeightFiles, spec: ParameterSpec, type: WeightType): Generator<StoredBits> {
  const isSame = weights.typeOf(spec) === type;
  let bits = storedBits(type, 0);
  for (const { values, stored, first } of weights.pieces(spec)) {
    if (isSame) {
      yield stored;
      continue;
    }
    if (bits.length !== values.length) bits = storedBits(type, values.length);
    const bad = narrow(type, new Uint32Array(values.buffer, values.byteOffset, values.length), bits);
    if (bad >= 0) {
      throw new UserError(
        `'${weights.path}': '${spec.name}' holds ${values[bad]} at ${showIndex(first + bad, spec.shape)}, ` +
          `beyond the largest value of ${type} (${LARGEST[type]}); export as another type`,
      );
    }
    yield bits;
  }
}

/**
 * Divides tensors among files, by the name of the file. They stay in order, and each file is filled as far as it goes.
 */
function shardsOf(tensors: readonly TensorSource[], shardBytes: number): ReadonlyMap<string, readonly TensorSource[]> {
  const shards: TensorSource[][] = [[]];
  for (const tensor of tensors) {
    const last = shards.at(-1)!;
    if (last.length > 0 && bytesOfTensors([...last, tensor]) > shardBytes) shards.push([tensor]);
    else last.push(tensor);
  }
  if (shards.length === 1) return new Map([[SINGLE, shards[0]!]]);
  const number = (n: number) => String(n).padStart(5, '0');
  return new Map(shards.map((shard, i) => [`model-${number(i + 1)}-of-${number(shards.length)}.safetensors`, shard]));
}

/** Adds a tokenizer_config.json, which runs from before they wrote one lack. */
function withTokenizerConfig(folder: string, companions: Companions): Companions {
  const path = join(folder, 'tokenizer.json');
  if (companions.files.has('tokenizer_config.json') || !existsSync(path)) return companions;
  return withMarks(companions, readText(path), readDocumentMarks(path));
}
