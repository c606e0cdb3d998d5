/** The part of `plan` that proposes how much of the source language to replay. */
import { UserError } from '../errors.js';
import { parsePoints, planReplay } from '../index.js';
import { readText } from '../input-files.js';
import { short } from '../report/numbers.js';
import { replayProbeFindings } from '../report/replay-probes.js';
import type { MixtureLaw } from '../scaling/mixture.js';
import type { Plan, PlannedLaw } from '../scaling/plan.js';
import type { ReplayPlan, ReplayRun } from '../scaling/replay-plan.js';
import type { Terminal } from './command.js';
import { makeTable } from './table.js';

export interface ReplayOptions {
  replayPoints?: string;
  replayLaw: 'log' | MixtureLaw;
  sourceLossLimit?: number;
  column?: Record<string, string>;
  where?: Record<string, string>;
}

export function replayOf(options: ReplayOptions, plan: Plan, laws: readonly PlannedLaw[]) {
  const { replayPoints: file, sourceLossLimit: limit, column, where } = options;
  if (file === undefined || limit === undefined) return { replay: null };
  const cpt = laws.find(({ strategy }) => strategy === 'cpt');
  if (!cpt) throw new UserError('replay is planned with a law of CPT: give one as --law or --other');
  const mixture = options.replayLaw === 'log' ? undefined : options.replayLaw;
  const needed = ['replay', 'sourceLoss'] as const;
  const text = readText(file);
  const { points } = parsePoints(text, file, { columns: column, where, needed });
  if (points.length === 0) throw new UserError(`no row of '${file}' is left`);
  const planned = planReplay(points, limit, cpt.parameters, plan.C, plan.given?.N, mixture);
  // the source's own runs have no replay, and are not among the chosen rows
  const sources = parsePoints(text, file, { columns: column }).points.filter(({ strategy }) => strategy === 'source');
  const probes = replayProbeFindings(points, sources, planned.curve.parameters);
  return { replay: { law: cpt.name, ...planned, probes }, file };
}

export function printReplay(
  terminal: Terminal,
  plan: ReplayPlan & { readonly probes: readonly string[] },
  file: string,
): void {
  const { curve, replay, replayInterval, sourceLoss, limit, sameCompute, extraTokens } = plan;
  terminal.print(
    `replay, from ${curve.points} runs of ${short(curve.parameters)} parameters in ${file}: source loss = ` +
      `${curve.S.toFixed(4)} − ${curve.K.toFixed(4)} ln(r + ${curve.rho.toPrecision(3)}), ` +
      `rms ${(100 * curve.rms).toFixed(2)}%`,
  );
  if (curve.mixture) {
    const { law, values, rms, points } = curve.mixture;
    const found = Object.entries(values).map(([name, value]) => `${name} ${value.toPrecision(4)}`);
    const where = curve.sizes ? `, ${points} runs of ${curve.sizes.map(short).join(' to ')} parameters` : '';
    terminal.print(`planned by ${law}${where}: ${found.join(', ')}; rms ${(100 * rms).toFixed(2)}%`);
  }
  for (const finding of plan.probes) terminal.print(finding);
  if (replay === null || !sameCompute || !extraTokens) return;
  const spread = replayInterval ? ` (95%: ${replayInterval.map(share => (100 * share).toFixed(1)).join(' … ')}%)` : '';
  terminal.print(
    `replay ${(100 * replay).toFixed(1)}%${spread} keeps the source loss at ${sourceLoss!.toFixed(4)}, limit ${limit}:`,
  );
  const table = makeTable(['replay accounted', 'N', 'tokens', 'target', 'replayed', 'FLOPs', 'target loss']);
  const row = (name: string, run: ReplayRun) => [
    name,
    short(run.N),
    short(run.tokens),
    short(run.targetTokens),
    short(run.replayedTokens),
    short(run.flops),
    run.loss.toFixed(4),
  ];
  table.push(row('out of the same compute', sameCompute), row('as extra tokens', extraTokens));
  terminal.print(table.toString());
}
