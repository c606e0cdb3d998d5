/** What of a run's choices fits a given memory: the largest micro-batch, then what takes less and costs more. */
import { UserError } from '../errors.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import type { Checkpointing } from '../model/llama.js';
import type { RunConfig } from './config.js';
import { runMemory } from './memory.js';
import type { ResolvedRun } from './resolved.js';

const UNITS: Readonly<Record<string, number>> = { MB: 1e6, GB: 1e9, MiB: 2 ** 20, GiB: 2 ** 30 };

/** The bytes of a size such as `24GB` (24 · 10^9) or `16GiB`, and its unit. */
function parseSize(size: string): { readonly bytes: number; readonly unit: string } {
  const [, number, unit] = /^([\d.]+)\s?(\w+)$/.exec(size)!;
  const name = Object.keys(UNITS).find(one => one.toLowerCase() === unit!.toLowerCase())!;
  return { bytes: Number(number) * UNITS[name]!, unit: name };
}

/** Bytes in a unit, rounded up to a hundredth. */
const inUnit = (bytes: number, unit: string): string => `${Math.ceil((100 * bytes) / UNITS[unit]!) / 100} ${unit}`;

/**
 * Resolves a run so that it fits `config.memory`. Of these the first that fits is taken, each with the largest
 * micro-batch that does: the run as it is configured; with each fourth layer recomputed, each second, each, which takes
 * up to a third more time; with moments in 8 bits, which change the numbers a little; with these and layers recomputed;
 * with gradients in f16 too, where the precision is; with moments in host memory, which takes time at each step, unless
 * the run `isWatched` and so needs them on the device. A `microBatch` that is given stays.
 * @throws UserError as `resolve`, or when nothing fits, with the least that the run takes.
 */
export function fitMemory(
  config: RunConfig,
  resolve: (config: RunConfig) => ResolvedRun,
  adapter: AdapterDescription,
  isWatched: boolean,
): ResolvedRun {
  const { bytes: most, unit } = parseSize(config.memory!);
  const fits = (run: ResolvedRun) => runMemory(adapter, run).peak <= most;
  const configured = resolve(config);
  let least = configured;
  for (const change of changesOf(config, configured.model.numHiddenLayers, isWatched)) {
    const runs = microBatchesOf(config, configured).map(microBatch => resolve({ ...config, ...change, microBatch }));
    least = runs.at(-1)!;
    if (!fits(least)) continue;
    return runs.find(fits)!;
  }
  const { peak } = runMemory(adapter, least);
  const isNarrow = least.lora ? least.lora.baseType !== 'f32' : least.weightType === 'bf16';
  throw new UserError(
    `memory ${config.memory}: the run takes ${inUnit(peak, unit)} at least (${showChoices(least)}); use ` +
      [
        ...(least.precision === 'f16' ? [] : ['precision f16']),
        ...(isNarrow ? [] : [least.lora ? 'weightType bf16' : 'weightType bf16 with momentType 8bit']),
        'a shorter contextLength, a smaller model',
        ...(isWatched ? ['no --audit'] : []),
        'or more memory',
      ].join(', '),
  );
}

/** What is changed in a configuration, from the cheapest on. */
function changesOf(
  { checkpointing, precision, momentType, gradientStorage, offload, lora }: RunConfig,
  layers: number,
  isWatched: boolean,
): readonly Partial<RunConfig>[] {
  const choices: readonly Checkpointing[] = [...[4, 2].filter(every => every <= layers), 'layer'];
  const more = checkpointing === 'none' ? choices.map(every => ({ checkpointing: every })) : [];
  const recompute: readonly Partial<RunConfig>[] = [{}, ...more];
  const coded = recompute.map(change => ({ ...change, momentType: '8bit' as const }));
  const all = momentType === '8bit' ? recompute : [...recompute, ...coded];
  const isHalvable = precision === 'f16' && gradientStorage === 'f32';
  const halved = isHalvable ? coded.map(change => ({ ...change, gradientStorage: 'f16' as const })) : [];
  if (offload === 'moments' || lora || isWatched) return [...all, ...halved];
  const last = isHalvable ? halved : coded;
  return [...all, ...halved, ...last.map(change => ({ ...change, offload: 'moments' as const }))];
}

/** The micro-batches that divide a run's batch, from the one that it would have down; alone the one that is given. */
function microBatchesOf(config: RunConfig, { microBatch, batchTokens, contextLength }: ResolvedRun): number[] {
  if (config.microBatch !== undefined) return [config.microBatch];
  const sequences = batchTokens / contextLength;
  const sizes = Array.from({ length: microBatch }, (_, i) => microBatch - i);
  return sizes.filter(size => sequences % size === 0);
}

/** Says what a run that was made to fit is like. */
export const memoryNotes = ({ memory }: RunConfig, run: ResolvedRun): string[] =>
  memory === undefined ? [] : [`for memory ${memory}: ${showChoices(run)}`];

const showChoices = ({ microBatch, checkpointing, momentType, gradientStorage, offload }: ResolvedRun): string =>
  `microBatch ${microBatch}, checkpointing ${checkpointing}, momentType ${momentType}` +
  (gradientStorage === 'f32' ? '' : `, gradientStorage ${gradientStorage}`) +
  (offload === 'none' ? '' : `, offload ${offload}`);
