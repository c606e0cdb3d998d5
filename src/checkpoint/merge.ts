/** One model out of several: the mean of their weights, or a model and what others have learnt beyond it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { damageOf } from '../checksums.js';
import { UserError } from '../errors.js';
import { sha256 } from '../hash.js';
import { readBytes } from '../input-files.js';
import { type ParameterSpec, parameterSpecs } from '../model/parameters.js';
import { checkBase } from './adapter-base.js';
import { type CopyOptions, checkNewFolder, type WrittenModel, writeCopy } from './model-copy.js';
import { type OpenModel, openModel } from './model-folder.js';
import { Adapter } from './peft.js';
import { showIndex } from './safetensors.js';
import { isAdapter } from './weight-files.js';
import { LARGEST, narrow, storedBits } from './weight-types.js';
import { checkModelFiles } from './whole.js';

/** A model to merge, and its weight in the sum. */
export interface MergedModel {
  /** A checkpoint or model folder; with a base also a LoRA adapter's, as PEFT writes it. */
  readonly folder: string;
  readonly weight: number;
}

export interface MergeOptions extends CopyOptions {
  /**
   * The folder of the model that the others come from. Without it the result is Σ wᵢ·modelᵢ / Σ wᵢ, and with it
   * base + Σ wᵢ·(modelᵢ − base), which is task arithmetic (Ilharco et al., 2023, arXiv 2212.04089). An adapter is the
   * model that it makes of the base.
   */
  readonly base?: string | undefined;
  /** Whether the models' files are compared with their checksums first; by default they are. */
  readonly verify?: boolean | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
}

/**
 * Writes the merged model to a new folder `out` that appears whole, with the configuration and tokenizer of the base
 * or, without one, of the first model. One tensor of each model is in memory at a time; sums are in f64, rounded once.
 * No device is needed. The result has no record of a training: it was not trained.
 * @throws UserError when there is nothing to sum up, a folder cannot be loaded, the models differ in shape or
 * tokenizer, `out` holds something, or a value is too large for `type`.
 * @example
 * import { readdirSync } from 'node:fs';
 * import { mergeModels } from 'babelgrad';
 *
 * const run = 'runs/english/checkpoints';
 * const checkpoints = readdirSync(run).map(name => ({ folder: `${run}/${name}`, weight: 1 }));
 * const { bytes } = await mergeModels(checkpoints, 'merged', { type: 'F32' });
 * console.log(bytes); // of the weights
 */
export async function mergeModels(
  models: readonly MergedModel[],
  out: string,
  { base, verify = true, onNote, ...copy }: MergeOptions,
): Promise<WrittenModel> {
  const adapted = models.filter(({ folder }) => isAdapter(folder));
  const summands = summandsOf(models, base, adapted);
  checkNewFolder(out);
  if (verify) {
    for (const { folder } of summands) for (const note of await checkModelFiles(folder)) onNote?.(note);
    for (const { folder } of adapted) await checkAdapter(folder, base!);
  }
  const opened: OpenModel[] = [];
  const adapters: { readonly adapter: Adapter; readonly weight: number }[] = [];
  try {
    for (const { folder } of summands) {
      const model = openModel(folder);
      opened.push(model);
      for (const note of model.notes) onNote?.(note);
      checkSame(summands[0]!.folder, opened[0]!, folder, model);
    }
    for (const { folder, weight } of adapted) {
      adapters.push({ adapter: Adapter.open(folder, parameterSpecs(opened[0]!.config)), weight });
    }
    const bitsOf = function* (spec: ParameterSpec) {
      const sum = new Float64Array(spec.shape.reduce((a, b) => a * b, 1));
      for (const [i, { weight }] of summands.entries()) {
        const values = opened[i]!.weights.read(spec);
        for (let j = 0; j < sum.length; j++) sum[j]! += weight * values[j]!;
      }
      for (const { adapter, weight } of adapters) adapter.addTo(sum, spec, weight);
      const rounded = Float32Array.from(sum);
      const bits = storedBits(copy.type, sum.length);
      const bad = narrow(copy.type, new Uint32Array(rounded.buffer), bits);
      if (bad >= 0) {
        throw new UserError(
          `'${spec.name}' would hold ${sum[bad]} at ${showIndex(bad, spec.shape)}, beyond the largest value of ` +
            `${copy.type} (${LARGEST[copy.type]}); merge with smaller weights, or into another type`,
        );
      }
      yield bits;
    };
    return await writeCopy(summands[0]!.folder, out, opened[0]!.config, bitsOf, copy);
  } finally {
    for (const { weights } of opened) weights.close();
    for (const { adapter } of adapters) adapter.close();
  }
}

/** Checks an adapter by its checksums, and its base by its record. @throws UserError when one is not as it was. */
async function checkAdapter(folder: string, base: string): Promise<void> {
  const damage = await damageOf(folder);
  if (damage !== undefined) throw new UserError(damage);
  await checkBase(folder, base);
}

/** Returns the whole models of the sum with their factors, the one first whose configuration is kept. */
function summandsOf(
  models: readonly MergedModel[],
  base: string | undefined,
  adapted: readonly MergedModel[],
): MergedModel[] {
  const bad = models.find(({ weight }) => !Number.isFinite(weight));
  if (bad) throw new UserError(`the weight of '${bad.folder}' is ${bad.weight}, and must be a finite number`);
  const whole = models.filter(model => !adapted.includes(model));
  const total = whole.reduce((sum, { weight }) => sum + weight, 0);
  if (base !== undefined) {
    if (models.length === 0) throw new UserError('a merge needs a model beside its base');
    return [{ folder: base, weight: 1 - total }, ...whole];
  }
  if (adapted.length > 0) {
    throw new UserError(
      `'${adapted[0]!.folder}' is an adapter, which needs the model that it was trained on: give a base`,
    );
  }
  if (models.length < 2) throw new UserError('a merge needs two models, or one and a base');
  if (!(total > 0)) throw new UserError(`the weights add up to ${total}; a mean needs a sum above 0`);
  return models.map(({ folder, weight }) => ({ folder, weight: weight / total }));
}

/** Checks that two models can be summed up. @throws UserError naming what differs. */
function checkSame(first: string, { config: a }: OpenModel, folder: string, { config: b }: OpenModel): void {
  for (const field of new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof typeof a>) {
    if (field === 'maxPositionEmbeddings') continue; // no weight depends on it
    const [one, other] = [a, b].map(config => JSON.stringify(config[field]));
    if (one === other) continue;
    throw new UserError(
      `'${folder}' has ${field} ${other}, and '${first}' ${one}: only models of one shape can be merged`,
    );
  }
  const [one, other] = [first, folder].map(tokenizerOf);
  if (one === undefined || other === undefined || one === other) return;
  throw new UserError(`'${folder}' and '${first}' have different tokenizers: their embeddings have nothing in common`);
}

function tokenizerOf(folder: string): string | undefined {
  const path = join(folder, 'tokenizer.json');
  return existsSync(path) ? sha256(readBytes(path)) : undefined;
}
