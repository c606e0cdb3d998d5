/**
 * LoRA adapters in the layout of PEFT: adapter_config.json, and adapter_model.safetensors with A [r, in] and B [out, r]
 * of each matrix, to which (alpha / r)·B·A is to be added (Hu et al., 2021, arXiv 2106.09685).
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../errors.js';
import { EMBEDDING, type ParameterSpec } from '../model/parameters.js';
import { parse, readObject } from './hf-json.js';
import { SafetensorsFile } from './safetensors.js';
import { ADAPTER, ADAPTER_CONFIG } from './weight-files.js';

/** What PEFT puts before the name of an adapter's tensor. */
export const PREFIX = 'base_model.model.';
/** What stands before and after a matrix's own name, `model.layers.0.self_attn.q_proj`. */
const NAME = /^base_model\.model\.(.+)\.lora_[AB]\.weight$/;

const unset = (what: string) => z.literal([false, null], { error: `${what} cannot be merged here` }).optional();
const none = (what: string) => z.never({ error: `${what} cannot be merged here` });
const empty = (what: string) => z.record(z.string(), none(what), { error: `${what} cannot be merged here` }).nullish();
const configSchema = z.looseObject({
  peft_type: z.literal('LORA', { error: 'adapters of LoRA alone can be merged' }),
  r: z.int().positive(),
  lora_alpha: z.number(),
  /** Whether the factor is alpha / √r. */
  use_rslora: z.boolean().nullish(),
  use_dora: unset('DoRA'),
  lora_bias: unset('an adapter with biases'),
  fan_in_fan_out: unset('transposed matrices'),
  bias: z.literal(['none', null], { error: 'trained biases cannot be merged here' }).optional(),
  modules_to_save: z.array(none('a whole module beside the adapter')).nullish(),
  rank_pattern: empty('ranks by pattern'),
  alpha_pattern: empty('alphas by pattern'),
});

/** An open adapter whose tensors fit a model. Close it with `close`. */
export class Adapter {
  readonly #file: SafetensorsFile;
  readonly #rank: number;
  readonly #scale: number;

  private constructor(file: SafetensorsFile, rank: number, scale: number) {
    this.#file = file;
    this.#rank = rank;
    this.#scale = scale;
  }

  /** Opens an adapter. @throws UserError when it is damaged, not of LoRA alone, or not of a model of these matrices. */
  static open(folder: string, specs: readonly ParameterSpec[]): Adapter {
    const path = join(folder, ADAPTER_CONFIG);
    const { r, lora_alpha: alpha, use_rslora: isRootScaled } = parse(path, configSchema, readObject(path));
    const weights = join(folder, ADAPTER);
    if (!existsSync(weights)) {
      throw new UserError(`'${folder}' has no ${ADAPTER}; save the adapter with safe_serialization=True`);
    }
    const file = SafetensorsFile.open(weights);
    try {
      checkTensors(file, r, specs);
      return new Adapter(file, r, alpha / (isRootScaled ? Math.sqrt(r) : r));
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Whether a matrix is changed. */
  has({ name }: Pick<ParameterSpec, 'name'>): boolean {
    return this.#file.names.includes(namesOf(name)[0]);
  }

  /** Adds `weight` times what the adapter adds to a matrix to `sum` [out, in]; nothing where it has nothing. */
  addTo(sum: Float64Array, { name, shape }: Pick<ParameterSpec, 'name' | 'shape'>, weight: number): void {
    if (!this.has({ name })) return;
    const [a, b] = namesOf(name);
    const [rows, columns] = shape as [number, number];
    const [A, B] = [this.#file.read(a, [this.#rank, columns]), this.#file.read(b, [rows, this.#rank])];
    const factor = weight * this.#scale;
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < this.#rank; i++) {
        const own = factor * B[row * this.#rank + i]!;
        for (let column = 0; column < columns; column++) {
          sum[row * columns + column]! += own * A[i * columns + column]!;
        }
      }
    }
  }

  close(): void {
    this.#file.close();
  }
}

/** The names of a matrix's A and B, from its own name. */
const namesOf = (matrix: string): [a: string, b: string] => {
  const module = matrix.replace(/\.weight$/, '');
  return [`${PREFIX}${module}.lora_A.weight`, `${PREFIX}${module}.lora_B.weight`];
};

function checkTensors(file: SafetensorsFile, rank: number, specs: readonly ParameterSpec[]): void {
  const matrices = new Map(
    specs.filter(({ decay, name }) => decay && name !== EMBEDDING).map(spec => [spec.name, spec]),
  );
  if (file.names.length === 0) throw new UserError(`'${file.path}' has no tensors`);
  for (const name of file.names) {
    const module = NAME.exec(name)?.[1];
    const spec = matrices.get(`${module}.weight`);
    if (!spec) {
      throw new UserError(
        `'${file.path}' has '${name}', which is no lora_A.weight or lora_B.weight of a matrix of the base; only ` +
          'those of projections and of an untied head can be merged',
      );
    }
    const [rows, columns] = spec.shape as [number, number];
    const [a, b] = namesOf(spec.name);
    for (const [part, shape] of [
      [a, [rank, columns]],
      [b, [rows, rank]],
    ] as const) {
      const found = file.shape(part);
      if (found.join() === shape.join()) continue;
      throw new UserError(
        `'${file.path}': '${part}' has shape [${found.join(', ')}]; with rank ${rank} and the base's ` +
          `'${spec.name}' it is [${shape.join(', ')}]`,
      );
    }
  }
}
