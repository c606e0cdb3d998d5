/** What the ranks of a job have to agree on before they train a run together, and what each of them trains. */
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Batch } from '../data/mixture.js';
import { UserError } from '../errors.js';
import { packageRoot } from '../files.js';
import { type AdapterDescription, listAdapters } from '../gpu/adapters.js';
import type { Device } from '../gpu/device.js';
import { sha256 } from '../hash.js';
import { kernelsHash } from '../kernels/source.js';
import type { Model } from '../model/model.js';
import type { ParameterSpec } from '../model/parameters.js';
import { RankError, type RankGroup } from '../parallel/ranks.js';
import type { ResolvedRun } from './resolved.js';
import type { Data } from './run-data.js';

/**
 * Returns a run as each of `sharers` trains it: with the largest micro-batch up to the run's own that divides its
 * share.
 * @throws UserError when a step's sequences cannot be shared evenly.
 */
export function sharedRun(run: ResolvedRun, sharers: number): ResolvedRun {
  const sequences = run.batchTokens / run.contextLength;
  return { ...run, microBatch: sharedMicroBatch(sequences, run.microBatch, sharers) };
}

/** Returns the largest micro-batch up to `microBatch` that divides a share of the sequences. @throws as `sharedRun`. */
export function sharedMicroBatch(sequences: number, microBatch: number, sharers: number): number {
  if (sequences % sharers !== 0) {
    throw new UserError(
      `${sharers} ranks cannot share the ${sequences} sequences of a step (batchTokens over contextLength) evenly; ` +
        'start as many ranks as divide them, or change batchTokens',
    );
  }
  const share = sequences / sharers;
  let divisor = Math.min(microBatch, share);
  while (share % divisor !== 0) divisor--;
  return divisor;
}

/** Returns the part of a step's batch that a rank trains. */
export function shareOf({ sequences, weights }: Batch, { rank, size }: RankGroup): Batch {
  const part = <Values extends Uint32Array | Float32Array>(values: Values) => {
    const length = values.length / size;
    return values.slice(rank * length, (rank + 1) * length) as Values;
  };
  return { sequences: part(sequences), weights: weights && part(weights) };
}

/**
 * Returns the adapter that this rank takes: the one that was asked for, else of the machine's hardware adapters the one
 * of its number on the machine.
 */
export async function adapterOfRank(ranks: RankGroup, asked: string | undefined): Promise<string | undefined> {
  if (ranks.size === 1 || asked !== undefined || process.env.BABELGRAD_ADAPTER) return asked;
  const adapters = (await listAdapters()).map(({ description }) => description);
  const hardware = adapters.filter(({ kind, hiddenBy }) => kind === 'hardware' && !hiddenBy);
  const own = hardware[ranks.localRank % Math.max(1, hardware.length)];
  return own && `#${own.number}`;
}

/** The GPUs' device files that this process may open: a job that was given one GPU of several sees it as its first. */
function openGpuFiles(): string[] {
  const files = ['/dev', '/dev/dri'].flatMap(folder =>
    existsSync(folder) ? readdirSync(folder).map(name => `${folder}/${name}`) : [],
  );
  return files.filter(file => {
    if (!/\/(nvidia|renderD)\d+$/.test(file)) return false;
    try {
      closeSync(openSync(file, 'r+'));
      return true;
    } catch {
      return false;
    }
  });
}

/** What must be the same on all ranks, in the words of its error. */
function identityOf(run: ResolvedRun, data: Data, { name, driver }: AdapterDescription): Record<string, string> {
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  const { kernels: _, adapter: __, ...config } = run;
  const fields = Object.entries(config).map(([field, value]) => [`field '${field}'`, JSON.stringify(value)]);
  const datasets = new Map([...data.sources.map(({ tokens }) => tokens), ...data.heldOut.values()].entries());
  const indices = [...datasets.values()].map(({ folder, index }) => [
    `data set '${folder}'`,
    `SHA-256 ${sha256(JSON.stringify(index))}`,
  ]);
  return {
    'version of babelgrad': `${version}, kernels ${kernelsHash().slice(0, 12)}`,
    adapter: `${name} (${driver})`,
    ...Object.fromEntries([...fields, ...indices]),
  };
}

/**
 * Checks that all ranks are about to train the same run, each on a GPU of its own.
 * @throws UserError naming the rank that is different, and in what.
 */
export async function agree(ranks: RankGroup, run: ResolvedRun, data: Data, { adapter }: Device): Promise<void> {
  if (ranks.size === 1) return;
  const place = [adapter.pci ?? `#${adapter.number}`, ...openGpuFiles()].join(' ');
  const mine = { identity: identityOf(run, data, adapter), library: ranks.library, kind: adapter.kind, place };
  const all = await ranks.gather(mine);
  const [lead] = all;
  for (const [rank, { identity, library }] of all.entries()) {
    const who = `rank ${rank} on '${ranks.hosts[rank]}'`;
    if (library !== lead!.library) {
      throw new UserError(`${who} has ${library}, and rank 0 has ${lead!.library}; all need the same MPI`);
    }
    for (const what of new Set([...Object.keys(identity), ...Object.keys(lead!.identity)])) {
      const [own, leads] = [identity[what] ?? 'nothing', lead!.identity[what] ?? 'nothing'];
      if (own === leads) continue;
      throw new UserError(`${who} has another ${what} (${own}) than rank 0 (${leads}); all ranks train the same run`);
    }
  }
  for (const [rank, { kind, place: own }] of all.entries()) {
    const first = all.findIndex((other, i) => other.place === own && ranks.hosts[i] === ranks.hosts[rank]);
    if (kind !== 'hardware' || first === rank) continue;
    throw new UserError(
      `ranks ${first} and ${rank} on '${ranks.hosts[rank]}' would both train on '${adapter.name}' (${own}), each as ` +
        'fast as half of it; start one rank for each GPU, and give each rank its own (on Slurm --gpus-per-task=1)',
    );
  }
}

/** Checks that all ranks hold the same values of parameters. @throws RankError naming one that does not. */
export async function compareWeights(
  ranks: RankGroup,
  model: Pick<Model, 'read'>,
  parameters: readonly Pick<ParameterSpec, 'name'>[],
): Promise<void> {
  if (ranks.size === 1) return;
  const sums: string[] = [];
  for (const { name } of parameters) {
    const { buffer, byteOffset, byteLength } = await model.read(name);
    sums.push(sha256(new Uint8Array(buffer, byteOffset, byteLength)));
  }
  const all = await ranks.gather(sha256(sums.join()));
  const other = all.findIndex(sum => sum !== all[0]);
  if (other < 0) return;
  throw new RankError(
    `the weights of rank ${other} on '${ranks.hosts[other]}' are no longer those of rank 0: its GPU, driver or ` +
      'memory computes other bits; the last checkpoint before this one is good',
  );
}
