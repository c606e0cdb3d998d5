/** Which variants of kernels a run takes: shipped, tuned on this machine, or those that it was started with. */
import { messageOf } from '../errors.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { openDevice } from '../gpu/open-device.js';
import { type KernelRequest, VariantTable } from '../kernels/variants.js';
import type { RankGroup } from '../parallel/ranks.js';
import { dryStep } from '../train/dry-step.js';
import { choicesOf, readCache, writeCache } from '../tune/cache.js';
import { refusal, showVariant } from '../tune/candidates.js';
import type { Variant } from '../tune/kind.js';
import { type Tuned, tune } from '../tune/tune.js';
import type { RunConfig } from './config.js';
import type { TrainObserver } from './context.js';
import type { ResolvedRun } from './resolved.js';
import { shapeOf } from './step-shape.js';

export interface TuneRequestOptions {
  readonly seconds: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((seconds: number, key: string) => void) | undefined;
}

/**
 * Tunes requests on a device of its own, so that what is compiled and allocated for this is gone afterwards. It keeps
 * the result in the cache of `folder`.
 * @returns what was tuned, and a note where not all was, or it could not be kept.
 */
export async function tuneRequests(
  adapter: AdapterDescription,
  folder: string,
  requests: readonly KernelRequest[],
  { seconds, signal, onProgress }: TuneRequestOptions,
): Promise<{ readonly tuned: readonly Tuned[]; readonly note?: string | undefined }> {
  const device = await openDevice({ adapter: `#${adapter.number}` });
  let tuned: readonly Tuned[];
  try {
    tuned = await tune(device, requests, {
      seconds,
      signal,
      onProgress: onProgress && ((done, { key }) => onProgress(done, key)),
    });
  } catch (error) {
    return { tuned: [], note: `tuning failed, the shipped variants are taken: ${messageOf(error)}` };
  } finally {
    device.close();
  }
  return { tuned, note: tuned.length > 0 ? writeCache(folder, adapter, tuned) : undefined };
}

export interface KernelSearch {
  /** The folder of the cache. */
  readonly folder?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly observer?: TrainObserver | undefined;
}

/**
 * Returns the variants of a new run: those that were tuned before, and the rest tuned now for about `tuneSeconds`.
 * Without a folder, or with `deterministic`, it returns the shipped ones.
 */
export async function variantsForStart(
  adapter: AdapterDescription,
  run: ResolvedRun,
  config: RunConfig,
  { folder, signal, observer }: KernelSearch,
): Promise<VariantTable> {
  const shape = shapeOf(run);
  const shipped = dryStep(adapter, shape).variants;
  if (folder === undefined || config.deterministic) return shipped;
  // a smaller batch of evaluation is not tuned for, since the next budget changes it, nor are a few probes
  const requests = [
    ...dryStep(adapter, { ...shape, evaluation: undefined, probe: undefined }).variants.requests.values(),
  ];
  const cache = readCache(folder, adapter);
  if (cache.note) observer?.onNote?.(cache.note);
  const known = new Map([...requests, ...shipped.requests.values()].map(request => [request.key, request]));
  const found = [...known.keys()].flatMap(key => cache.entries.get(key) ?? []);
  const missing = requests.filter(({ key }) => !cache.entries.has(key));
  const seconds = config.tuneSeconds;
  if (missing.length > 0 && seconds > 0) {
    const onProgress = (done: number, key: string) => observer?.onTune?.(done, seconds, key);
    const { tuned, note } = await tuneRequests(adapter, folder, missing, { seconds, signal, onProgress });
    if (note) observer?.onNote?.(note);
    found.push(...tuned);
  }
  return dryStep(adapter, shapeOf(run), choicesOf(found)).variants;
}

/** Returns what a run's configuration keeps, so that a resumed run takes the same variants. */
export const recordOf = (variants: VariantTable): NonNullable<ResolvedRun['kernels']> => ({
  adapter: variants.adapter.name,
  driver: variants.adapter.driver,
  ...structuredClone(variants.used),
});

/** Returns the variants of kernels that the lead of all ranks `choose`s, so that all run the same. */
export async function variantsOfAll(
  adapter: AdapterDescription,
  run: ResolvedRun,
  ranks: RankGroup,
  choose: () => Promise<VariantTable>,
): Promise<{ readonly variants: VariantTable; readonly kernels: NonNullable<ResolvedRun['kernels']> }> {
  const chosen = ranks.isLead ? await choose() : undefined;
  const [kernels] = (await ranks.gather(chosen ? recordOf(chosen) : null)) as [ReturnType<typeof recordOf>];
  return { variants: chosen ?? variantsForResume(adapter, { ...run, kernels }), kernels };
}

/**
 * Returns the variants of a resumed run: exactly those it was started with. Another adapter gives other bits anyway;
 * variants that it cannot run give way to the shipped ones.
 */
export function variantsForResume(
  adapter: AdapterDescription,
  run: ResolvedRun,
  observer?: TrainObserver,
): VariantTable {
  const recorded = run.kernels;
  if (!recorded) return new VariantTable(adapter);
  const { requests } = dryStep(adapter, shapeOf(run)).variants;
  const { adapter: startedOn, driver, ...kept } = structuredClone(recorded);
  const replaced: string[] = [];
  for (const request of requests.values()) {
    const of: Record<string, Variant> = kept[request.kind];
    const variant = of[request.key];
    const refused = variant && refusal(adapter, request, variant);
    if (refused === undefined) continue;
    delete of[request.key];
    replaced.push(`'${request.key}' (${showVariant(variant!)}: ${refused})`);
  }
  const was = `${startedOn} (${driver})`;
  const is = `${adapter.name} (${adapter.driver})`;
  if (was !== is) observer?.onNote?.(`the run was started on ${was} and goes on on ${is}: its bits will differ`);
  if (replaced.length > 0) {
    const more = replaced.length > 1 ? ` and ${replaced.length - 1} more` : '';
    observer?.onNote?.(
      `${replaced.length} of the run's kernel variants cannot run on ${is}; the shipped ones take their place: ` +
        `${replaced[0]}${more}`,
    );
  }
  return new VariantTable(adapter, kept);
}
