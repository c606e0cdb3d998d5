/** Runs that train low-rank adapters beside a frozen base: their fields, and what they don't go with. */
import { z } from 'zod';
import { sizeOf } from '../autograd/tensor.js';
import type { Origin } from '../checkpoint/training-record.js';
import { UserError } from '../errors.js';
import type { ModelConfig } from '../model/config.js';
import { adapterGroups, isAdapted, loraSettings, PROJECTIONS } from '../model/lora.js';
import { parameterSpecs } from '../model/parameters.js';
import type { MatrixType } from '../model/tensors.js';
import type { RunConfig } from './config.js';

/** Adapters as a run records them, with the type in which the device keeps the base's matrices. */
export const resolvedLora = loraSettings.extend({ baseType: z.enum(['f32', 'f16', 'bf16']) });
export type ResolvedLora = z.infer<typeof resolvedLora>;

/** The fields of a run that adapters are made of, or that they don't go with. */
type LoraFields = Omit<RunConfig, 'out' | 'sources'>;

/**
 * Returns the adapters of a run, if it has any. `stored` is the two-byte type that holds the base's matrices exactly,
 * if there is one.
 * @throws UserError when it has no base or not the targets, or fields that adapters don't go with.
 */
export function loraOf(
  config: LoraFields,
  model: ModelConfig,
  isContinued: boolean,
  stored: MatrixType | undefined,
): ResolvedLora | undefined {
  if (!config.lora) return undefined;
  if (!isContinued) throw new UserError('lora trains adapters beside a model that is there already: use cpt --from');
  const faults = [
    ...(config.emaDecay === undefined ? [] : ['emaDecay']),
    ...(config.parameterGroups ? ['parameterGroups'] : []),
    ...(config.freezeBodyTokens === undefined ? [] : ['freezeBodyTokens']),
    ...(config.optimizerState === 'keep' ? ['optimizerState keep (adapters begin without moments)'] : []),
    ...(config.offload === 'none' ? [] : [`offload ${config.offload} (adapters have few moments)`]),
    ...(config.parallel === 'data' ? [] : [`parallel ${config.parallel}`]),
    ...(config.precision === 'f16' && config.weightType === 'bf16' ? ['weightType bf16 in f16 (the base is f16)'] : []),
  ];
  if (faults.length > 0) throw new UserError(`lora does not go with ${faults.join(', ')}: leave that out`);
  const known = PROJECTIONS.filter(target => parameterSpecs(model).some(({ name }) => isAdapted(name, target)));
  const { rank, alpha = 2 * rank, targets = known } = config.lora;
  const unknown = targets.filter(target => !known.includes(target));
  if (unknown.length > 0) {
    throw new UserError(`lora: the model has no ${unknown.join(', ')}; its projections are ${known.join(', ')}`);
  }
  const lora = { rank, alpha, targets: known.filter(target => targets.includes(target)) };
  return { ...lora, baseType: baseTypeOf(config, model, stored) };
}

/** Returns what the base's matrices are kept in: two bytes wherever that changes no number that is computed with. */
function baseTypeOf(
  { precision, weightType }: LoraFields,
  model: ModelConfig,
  stored: MatrixType | undefined,
): ResolvedLora['baseType'] {
  const isOdd = parameterSpecs(model).some(({ decay, shape }) => decay && sizeOf(shape) % 2 !== 0);
  if (precision === 'f16') return isOdd ? 'f32' : 'f16';
  return weightType === 'bf16' ? 'bf16' : (stored ?? 'f32');
}

/** Says what a run of adapters trains, what its base is kept in, and what they cannot teach. */
export function loraNotes(run: {
  readonly lora?: ResolvedLora | undefined;
  readonly model: ModelConfig;
  readonly parameters: { readonly total: number };
  readonly source?: Origin | undefined;
}): string[] {
  const { lora, model, parameters, source } = run;
  if (!lora) return [];
  const trained = adapterGroups(model, lora).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const [own, base] = [trained, parameters.total].map(count => count.toLocaleString('en-US'));
  const bytes = lora.baseType === 'f32' ? ', since its values are exact in no type of two bytes' : '';
  return [
    `lora: ${own} parameters of adapters are trained, rank ${lora.rank}, alpha ${lora.alpha}; the base of ${base} ` +
      `keeps its values, with matrices in ${lora.baseType}${bytes}`,
    ...(source?.firstNewToken === undefined
      ? []
      : [
          `warning: the vocabulary was extended from ${source.firstNewToken} on, and lora does not train the rows of ` +
            'new tokens: train without lora, or train the rows first',
        ]),
  ];
}
