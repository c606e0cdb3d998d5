/** The probes of a run: what its model does in context, with the tokens of each language that it is evaluated in. */
import { frequentHeldOutIds } from '../data/frequent-ids.js';
import { UserError } from '../errors.js';
import { type Probe, Prober, probeLength, probeShape, probeTask } from '../eval/probe.js';
import type { BatchShape } from '../model/llama.js';
import type { Model } from '../model/model.js';
import type { Data } from './run-data.js';

/** Checks that every language has the tokens for probes, and the context the room. @throws UserError naming it. */
export function checkProbes({ heldOut, marks }: Pick<Data, 'heldOut' | 'marks'>, contextLength: number): void {
  for (const [language, dataset] of heldOut) {
    try {
      for (const kind of ['copy', 'induction'] as const) {
        probeTask(kind, frequentHeldOutIds(dataset), probeLength(contextLength), marks.startIds);
      }
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(`probeEveryTokens: '${language}' (${dataset.folder}): ${error.message}`);
    }
  }
}

/** The parts of a resolved run that its probes depend on. */
interface ResolvedProbes {
  readonly probes?: number | undefined;
  readonly microBatch: number;
  readonly contextLength: number;
}

/** Returns the batch that a run is probed in; undefined where it has no probes. */
export const probeShapeOf = (run: ResolvedProbes): BatchShape | undefined =>
  run.probes === undefined ? undefined : probeShape(run.contextLength, run.microBatch * run.contextLength);

/**
 * Plans the probes of a run. @returns a function that makes them, by language; undefined where the run has none. It
 * only reads the weights that this process holds: with `parallel: diloco` ranks don't meet for it.
 */
export async function makeProbes(run: ResolvedProbes, model: Model, data: Pick<Data, 'heldOut' | 'marks'>) {
  const shape = probeShapeOf(run);
  if (!shape) return undefined;
  const prober = await Prober.create(model, shape);
  const pools = [...data.heldOut].map(([language, dataset]) => [language, frequentHeldOutIds(dataset)] as const);
  const probe = async (): Promise<Record<string, Probe>> => {
    const found: [string, Probe][] = [];
    for (const [language, pool] of pools) found.push([language, await prober.probe(pool, data.marks.startIds)]);
    return Object.fromEntries(found);
  };
  return Object.assign(probe, { destroy: () => prober.destroy() });
}
