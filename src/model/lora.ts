/** Low-rank adapters of a model's projections (LoRA: Hu et al., 2021, arXiv 2106.09685), and their parameters. */
import { z } from 'zod';
import { UserError } from '../errors.js';
import { Random } from '../random.js';
import type { ModelConfig } from './config.js';
import { type ParameterGroup, type ParameterSpec, parameterGroups } from './parameters.js';

/** The matrices of a layer that can have an adapter, by their names in a checkpoint; Phi-3 has fused ones. */
export const PROJECTIONS = [
  'q_proj',
  'k_proj',
  'v_proj',
  'qkv_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'gate_up_proj',
  'down_proj',
] as const;

/** Whether a parameter is the matrix that a target names. */
export const isAdapted = (name: string, target: string): boolean => name.endsWith(`.${target}.weight`);

/** Whether a parameter is of an adapter. */
export const isOfAdapter = (name: string): boolean => /\.lora_[AB]\.weight$/.test(name);

const rank = z.int().positive().describe('the number of rows of A, and of columns of B');
const alpha = z.number().positive().describe('what B·A is multiplied by, times the rank');
const targets = z.array(z.enum(PROJECTIONS)).min(1).describe('the projections that have an adapter');

/** The fields of adapters as they are configured. */
export const loraSchema = z.strictObject({ rank, alpha: alpha.optional(), targets: targets.optional() });
/** The same, with all of them known. */
export const loraSettings = z.object({ rank, alpha, targets });
export type LoraSettings = Readonly<z.infer<typeof loraSettings>>;

/** An adapter of a matrix: A [r, in] and B [out, r], whose rows follow `first` others in the matrix's group. */
export interface PlacedAdapter {
  readonly a: ParameterSpec;
  readonly b: ParameterSpec;
  readonly first: number;
  /** alpha / r */
  readonly scale: number;
}

/** Returns the adapters by the group whose products they are added to. @throws UserError when a rank is too high. */
export function adaptersOf(
  config: ModelConfig,
  { rank, alpha, targets }: LoraSettings,
): ReadonlyMap<string, readonly PlacedAdapter[]> {
  const adapters = new Map<string, PlacedAdapter[]>();
  for (const { name: group, parts } of parameterGroups(config)) {
    let first = 0;
    for (const { name, shape } of parts) {
      const [rows, columns] = shape as [number, number];
      if (targets.some(target => isAdapted(name, target))) {
        checkRank(rank, name, Math.min(rows, columns));
        const part = (side: 'A' | 'B', of: readonly number[]) => {
          return { name: name.replace(/weight$/, `lora_${side}.weight`), shape: of, decay: true };
        };
        const adapter = { a: part('A', [rank, columns]), b: part('B', [rows, rank]), first, scale: alpha / rank };
        adapters.set(group, [...(adapters.get(group) ?? []), adapter]);
      }
      first += rows;
    }
  }
  return adapters;
}

function checkRank(rank: number, name: string, most: number): void {
  if (rank <= most) return;
  throw new UserError(`lora: rank ${rank} is higher than the ${most} of '${name}' itself; use a lower rank`);
}

/** Returns the parameters of all adapters, in the order of the model; each is a group of its own. */
export const adapterGroups = (config: ModelConfig, lora: LoraSettings): ParameterGroup[] =>
  [...adaptersOf(config, lora).values()].flat().flatMap(({ a, b }) => [a, b].map(spec => ({ ...spec, parts: [spec] })));

/**
 * Returns the initial values of an adapter's parameters, as PEFT has them: A is uniform in ±1/√in (He et al., 2015,
 * with a slope of √5), B is 0, so that training begins at the base.
 */
export function initialAdapter(seed: number): (spec: ParameterSpec) => Float32Array {
  return ({ name, shape }) => {
    const [rows, columns] = shape as [number, number];
    const values = new Float32Array(rows * columns);
    if (name.endsWith('lora_B.weight')) return values;
    const random = new Random(seed, 'adapter', name);
    for (let i = 0; i < values.length; i++) values[i] = (2 * random.uniform() - 1) / Math.sqrt(columns);
    return values;
  };
}
