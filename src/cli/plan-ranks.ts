/** The part of `plan` that divides the work among ranks: how long a run takes on how many, over which link. */
import { extname } from 'node:path';
import { UserError } from '../errors.js';
import { checkFilePlace, writeFileWhole } from '../files.js';
import { recipeForSize } from '../model/recipe.js';
import { percent, short } from '../report/numbers.js';
import { pngOf, standaloneSvg } from '../report/picture.js';
import { EXCHANGES, rankCounts, ranksPlot } from '../report/ranks-plot.js';
import type { Plan } from '../scaling/plan.js';
import { type Cluster, mostRanks, type StepTime, stepTime } from '../scaling/ranks.js';
import type { Terminal } from './command.js';
import { duration } from './numbers.js';
import { makeTable } from './table.js';

export interface RanksOptions {
  ranks?: number;
  link?: { name: string; bits: number };
  batchTokens?: number;
  figure?: string;
}

export interface RanksPlan {
  readonly cluster: Cluster;
  readonly link: string;
  /** The most ranks that can share a step; more need a larger batch. */
  readonly mostRanks: number;
  /** The time of a step by number of ranks, for each way to keep together. */
  readonly rows: readonly { readonly ranks: number; readonly times: Readonly<Record<string, StepTime>> }[];
  readonly steps: number;
  readonly figure: string | null;
}

/** Projects a plan onto ranks. @throws UserError when the speed of one rank or of the link is not known. */
export function planRanks(
  { ranks, link, batchTokens, figure }: RanksOptions,
  plan: Plan,
  speed: { readonly flopsPerSecond: number } | null,
): RanksPlan | null {
  if (ranks === undefined) {
    if (link ?? batchTokens ?? figure) throw new UserError('--link, --batch-tokens and --figure go with --ranks');
    return null;
  }
  if (!link) throw new UserError('--ranks needs the speed of the link between them: --link 100Gb');
  if (!speed) throw new UserError('--ranks needs the speed of one: --tokens-per-second, or --measure');
  const N = plan.given?.N ?? plan.N_opt;
  const recipe = recipeForSize(N);
  const cluster: Cluster = {
    parameters: N,
    batchTokens: batchTokens ?? recipe.batchTokens,
    contextLength: recipe.contextLength,
    flopsPerSecond: speed.flopsPerSecond,
    linkBytesPerSecond: link.bits / 8,
  };
  const rows = rankCounts(ranks).map(count => ({
    ranks: count,
    times: Object.fromEntries(EXCHANGES.map(exchange => [exchange.name, stepTime(cluster, count, exchange)])),
  }));
  const steps = plan.C / (6 * N * cluster.batchTokens);
  if (figure !== undefined) writeFigure(figure, cluster, ranks);
  return { cluster, link: link.name, mostRanks: mostRanks(cluster), rows, steps, figure: figure ?? null };
}

function writeFigure(path: string, cluster: Cluster, ranks: number): void {
  const kind = extname(path);
  if (kind !== '.svg' && kind !== '.png') throw new UserError(`--figure '${path}' is neither .svg nor .png`);
  checkFilePlace(path);
  const svg = ranksPlot(cluster, new Map([1, 10, 100].map(gigabits => [`${gigabits} Gb`, 1e9 * gigabits])), ranks);
  writeFileWhole(path, kind === '.svg' ? standaloneSvg(svg) : pngOf(svg));
}

export function printRanks(
  terminal: Terminal,
  { cluster, link, mostRanks: most, rows, steps, figure }: RanksPlan,
): void {
  const { parameters, batchTokens, flopsPerSecond } = cluster;
  terminal.print(
    `ranks over ${link}/s, by a model: ${short(parameters)} parameters, ${short(batchTokens)} tokens a step, ` +
      `${short(flopsPerSecond)}FLOP/s each`,
  );
  const table = makeTable(['ranks', 'computing', ...EXCHANGES.map(({ name }) => name), 'time, the best']);
  for (const { ranks, times } of rows) {
    const each = EXCHANGES.map(({ name }) => times[name]!);
    const best = Math.min(...each.map(({ seconds }) => seconds));
    table.push([
      ranks > most ? `${ranks}*` : String(ranks),
      duration(each[0]!.computeSeconds),
      ...each.map(({ seconds, efficiency }) => `${duration(seconds)} · ${percent(efficiency)}`),
      duration(steps * best),
    ]);
  }
  terminal.print(table.toString());
  terminal.print('seconds of a step and efficiency: how much faster than one rank, over the number of ranks');
  if (rows.some(({ ranks }) => ranks > most)) {
    terminal.print(`* a step of ${short(batchTokens)} tokens has ${most} sequences: more ranks need a larger batch`);
  }
  if (figure !== null) terminal.print(`written: ${figure}`);
}
