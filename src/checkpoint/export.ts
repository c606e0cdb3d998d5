/** Writes a model folder again in another number format, in shards where it is large: for use elsewhere. */
import { UserError } from '../errors.js';
import type { ParameterSpec } from '../model/parameters.js';
import { type CopyOptions, checkNewFolder, type WrittenModel, writeCopy } from './model-copy.js';
import { openModel } from './model-folder.js';
import { showIndex } from './safetensors.js';
import { readTrainingRecord } from './training-record.js';
import type { ModelWeights } from './weight-files.js';
import { LARGEST, narrow, type StoredBits, storedBits, type WeightType } from './weight-types.js';
import { checkModelFiles } from './whole.js';

export interface ExportOptions extends CopyOptions {
  /** Whether the model's files are compared with their checksums first; by default they are. */
  readonly verify?: boolean | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
  /** The text of a README.md for it, such as `modelCard` makes; one that the folder has goes along in its place. */
  readonly card?: string | undefined;
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
export async function exportModel(from: string, out: string, options: ExportOptions): Promise<WrittenModel> {
  checkNewFolder(out);
  const { verify = true, onNote, card, ...copy } = options;
  const verified = verify ? await checkModelFiles(from) : [];
  const { config, weights, notes } = openModel(from);
  try {
    for (const note of [...verified, ...notes]) onNote?.(note);
    const bitsOf = (spec: ParameterSpec) => converted(weights, spec, copy.type);
    return await writeCopy(from, out, config, bitsOf, { ...copy, record: readTrainingRecord(from), card });
  } finally {
    weights.close();
  }
}

/** Yields the bits of a tensor as `type`. @throws UserError when a value is too large for it. */
export function* converted(weights: ModelWeights, spec: ParameterSpec, type: WeightType): Generator<StoredBits> {
  const isSame = weights.typeOf(spec) === type;
  let bits = storedBits(type, 0);
  for (const { values, stored, first } of weights.pieces(spec)) {
    if (isSame) {
      yield stored;
      continue;
    }
    if (bits.length !== values.length) bits = storedBits(type, values.length);
    narrowInto(bits, weights.path, spec, type, values, first);
    yield bits;
  }
}

/** Returns the bits of all values of a tensor as `type`. @throws UserError as `converted`. */
export function narrowed(path: string, spec: ParameterSpec, type: WeightType, values: Float32Array): StoredBits {
  const bits = storedBits(type, values.length);
  narrowInto(bits, path, spec, type, values, 0);
  return bits;
}

function narrowInto(
  bits: StoredBits,
  path: string,
  spec: ParameterSpec,
  type: WeightType,
  values: Float32Array,
  first: number,
): void {
  const bad = narrow(type, new Uint32Array(values.buffer, values.byteOffset, values.length), bits);
  if (bad < 0) return;
  throw new UserError(
    `'${path}': '${spec.name}' holds ${values[bad]} at ${showIndex(first + bad, spec.shape)}, ` +
      `beyond the largest value of ${type} (${LARGEST[type]}); export as another type`,
  );
}
