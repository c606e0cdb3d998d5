/**
 * The variants that were tuned on this machine: a file for each adapter, with every candidate's time beside the winner.
 * The file holds for one driver, one version of Dawn and one state of the kernels, and an entry for one set of
 * candidates. Anything else, damage included, is as if nothing had been tuned, and a note says so.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { messageOf } from '../errors.js';
import { writeFileWhole } from '../files.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { dawnVersion } from '../gpu/drivers.js';
import { sha256 } from '../hash.js';
import { readJson } from '../input-files.js';
import { kernelsHash } from '../kernels/source.js';
import { byKind, type KernelRequest, type Kind, type VariantChoices } from '../kernels/variants.js';
import { inWords, whyInvalid } from '../schema.js';
import { candidatesFor, canonical, sameVariant } from './candidates.js';
import { TUNED } from './kinds/index.js';
import type { Tuned } from './tune.js';

const tuned = byKind(kind => TUNED[kind]);
const variant = z.union(Object.values(tuned).map(({ variantSchema }) => variantSchema));
const requestSchema = z.union(
  Object.entries(tuned).map(([kind, { requestSchema: request }]) =>
    z.object({ kind: z.literal(kind), key: z.string(), calls: z.int().positive(), request }),
  ),
) as z.ZodType<KernelRequest>;

const entrySchema = z.object({
  request: requestSchema,
  winner: variant,
  shipped: variant,
  outcomes: z.array(
    z.discriminatedUnion('state', [
      z.object({ variant, state: z.literal('timed'), milliseconds: z.number().nonnegative() }),
      z.object({ variant, state: z.enum(['refused', 'wrong']), reason: z.string() }),
      z.object({ variant, state: z.literal('untried') }),
    ]),
  ),
  /** The SHA-256 of the candidates that the winner was chosen from. */
  candidates: z.string(),
});

const identitySchema = z.object({
  adapter: z.string(),
  vendor: z.string(),
  architecture: z.string(),
  driver: z.string(),
  dawn: z.string(),
  kernels: z.string(),
});
type Identity = z.infer<typeof identitySchema>;

const fileSchema = z.object({
  format: z.literal('babelgrad tuning 1'),
  identity: identitySchema,
  entries: z.array(entrySchema),
});

/** Returns what decides whether measured times still hold. */
const identityOf = ({ name, vendor, architecture, driver }: AdapterDescription): Identity => ({
  adapter: name,
  vendor,
  architecture,
  driver,
  dawn: dawnVersion(),
  kernels: kernelsHash(),
});

const candidatesHash = (adapter: AdapterDescription, request: KernelRequest): string =>
  sha256(candidatesFor(adapter, request).map(canonical).join('\n'));

/**
 * Returns the path of an adapter's file. When a driver or kernels change, the new file takes the place of the old one.
 */
export const cachePath = (folder: string, { name, vendor, architecture }: AdapterDescription): string =>
  join(folder, `tune-${sha256([name, vendor, architecture].join('\n')).slice(0, 16)}.json`);

export interface TuneCache {
  readonly path: string;
  /** The entries by the request's key. */
  readonly entries: ReadonlyMap<string, Tuned>;
  /** Why something that is there does not count. */
  readonly note?: string;
}

/** Reads what was tuned for an adapter; the result is empty where there is no file, or none that still holds. */
export function readCache(folder: string, adapter: AdapterDescription): TuneCache {
  const path = cachePath(folder, adapter);
  const nothing = new Map<string, Tuned>();
  if (!existsSync(path)) return { path, entries: nothing };
  let file: z.infer<typeof fileSchema>;
  try {
    file = fileSchema.parse(readJson(path), inWords);
  } catch (error) {
    return {
      path,
      entries: nothing,
      note: `the tuned variants in '${path}' are damaged and do not count (${whyInvalid(error)})`,
    };
  }
  const now = identityOf(adapter);
  const changed = (Object.keys(now) as (keyof Identity)[]).filter(field => file.identity[field] !== now[field]);
  if (changed.length > 0) {
    const what = changed.map(field => CHANGES[field]).join(' and ');
    return { path, entries: nothing, note: `the tuned variants in '${path}' do not count: ${what} changed since` };
  }
  const valid = file.entries.filter(entry => isCurrent(adapter, entry));
  const outdated = file.entries.length - valid.length;
  return {
    path,
    entries: new Map(valid.map(({ candidates: _, ...entry }) => [entry.request.key, entry])),
    ...(outdated > 0 && {
      note: `${outdated} of the tuned variants in '${path}' do not count: there are other candidates now`,
    }),
  };
}

const CHANGES: Readonly<Record<keyof Identity, string>> = {
  adapter: 'the adapter',
  vendor: 'the adapter',
  architecture: 'the adapter',
  driver: 'the driver',
  dawn: 'the version of Dawn',
  kernels: 'the kernels',
};

/** Whether an entry was chosen from today's candidates, and is one that may run. */
function isCurrent(adapter: AdapterDescription, { request, winner, candidates }: z.infer<typeof entrySchema>): boolean {
  if (candidates !== candidatesHash(adapter, request)) return false;
  return candidatesFor(adapter, request).some(one => one.refused === undefined && sameVariant(one.variant, winner));
}

/** Adds entries to what still holds in an adapter's file. @returns a note when the file cannot be written. */
export function writeCache(folder: string, adapter: AdapterDescription, tuned: readonly Tuned[]): string | undefined {
  const { path, entries } = readCache(folder, adapter);
  const all = new Map([...entries, ...tuned.map(one => [one.request.key, one] as const)]);
  const file: z.infer<typeof fileSchema> = {
    format: 'babelgrad tuning 1',
    identity: identityOf(adapter),
    entries: [...all.values()].map(entry => ({
      ...entry,
      outcomes: [...entry.outcomes],
      candidates: candidatesHash(adapter, entry.request),
    })),
  };
  try {
    writeFileWhole(path, `${JSON.stringify(file, null, 1)}\n`);
    return undefined;
  } catch (error) {
    const why = messageOf(error);
    return `the tuned variants cannot be kept, set XDG_CACHE_HOME to a folder that can be written (${why})`;
  }
}

/** Returns the winners, as a VariantTable takes them. */
export function choicesOf(tuned: Iterable<Tuned>): VariantChoices {
  const choices: Record<Kind, Record<string, unknown>> = byKind(() => ({}));
  for (const { request, winner } of tuned) choices[request.kind][request.key] = winner;
  return choices as VariantChoices;
}
