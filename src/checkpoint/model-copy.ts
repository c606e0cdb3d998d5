/** Writes a model folder with the model, tokenizer and companions of another one, and weights of one's own. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readDocumentMarks } from '../data/document-marks.js';
import { UserError } from '../errors.js';
import { type NewFolder, writeFolderWhole } from '../files.js';
import { readBytes, readText } from '../input-files.js';
import type { ModelConfig } from '../model/config.js';
import { type ParameterSpec, parameterSpecs } from '../model/parameters.js';
import { type Companions, readCompanions, withMarks, writeCompanionFiles } from './companions.js';
import { hfConfig } from './hf-config.js';
import { bytesOfTensors, type TensorSource, writeSafetensors } from './safetensors-write.js';
import { INDEX, SINGLE } from './weight-files.js';
import type { StoredBits, WeightType } from './weight-types.js';

export interface CopyOptions {
  readonly type: WeightType;
  /** The most bytes of tensors in a file, unless one tensor alone has more; 5 GB by default. */
  readonly shardBytes?: number | undefined;
  /** Is told how many bytes of weights were written, and of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface WrittenModel {
  /** The names of the files with weights. */
  readonly weights: readonly string[];
  /** The bytes of all tensors. */
  readonly bytes: number;
}

/** Checks that a folder can be made. @throws UserError when there is a file, or a folder that holds something. */
export function checkNewFolder(out: string): void {
  if (existsSync(out) && (!statSync(out).isDirectory() || readdirSync(out).length > 0)) {
    throw new UserError(`'${out}' is there already; name a new folder, or remove it`);
  }
}

/**
 * Writes a new folder `out` that appears whole: the model `config`, weights of `type` whose bits `bitsOf` yields for
 * each tensor in pieces, and the tokenizer's files of the folder `from`. `record` is its training.json, if it has one,
 * and `card` its README.md, unless `from` has one.
 */
export async function writeCopy(
  from: string,
  out: string,
  config: ModelConfig,
  bitsOf: (spec: ParameterSpec) => Iterable<StoredBits>,
  {
    type,
    shardBytes = 5e9,
    onProgress,
    record,
    card,
  }: CopyOptions & { readonly record?: string | undefined; readonly card?: string | undefined },
): Promise<WrittenModel> {
  const companions = withTokenizerConfig(from, readCompanions(from));
  const specs = parameterSpecs(config);
  const sources = specs.map(({ name, shape }) => ({ name, shape, dtype: type }));
  const total = bytesOfTensors(sources);
  let done = 0;
  const tensors = specs.map((spec, i): TensorSource => {
    const read = function* () {
      for (const bits of bitsOf(spec)) {
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
    if (card !== undefined) {
      const own = join(from, 'README.md');
      target.write('README.md', existsSync(own) ? readBytes(own) : card);
    }
    for (const [file, members] of shards) await writeSafetensors(target.create(file), members);
    if (shards.size > 1) {
      const map = [...shards].flatMap(([file, members]) => members.map(({ name }) => [name, file] as const));
      writeJson(target, INDEX, { metadata: { total_size: total }, weight_map: Object.fromEntries(map) });
    }
  });
  return { weights: [...shards.keys()], bytes: total };
}

const writeJson = (folder: NewFolder, name: string, value: unknown): void =>
  folder.write(name, `${JSON.stringify(value, null, 2)}\n`);

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
