/** A figure of how efficient ranks are, by the model of `scaling/ranks.ts`. */
import * as Plot from '@observablehq/plot';
import { type Cluster, type Exchanged, mostRanks, stepTime } from '../scaling/ranks.js';
import { colorOf, svgOf } from './plots.js';

/** How ranks can keep together, and what that sends. */
export const EXCHANGES: readonly (Exchanged & { readonly name: string })[] = [
  { name: 'data, f32', valueBytes: 4, every: 1 },
  { name: 'data, bf16', valueBytes: 2, every: 1 },
  { name: 'diloco, every 50 steps', valueBytes: 4, every: 50 },
];

const TEXT = { textAnchor: 'start', fontWeight: 'bold' } as const;

/** Returns the numbers of ranks from 1 to `most` by powers of 2, and `most` itself. */
export function rankCounts(most: number): number[] {
  const counts: number[] = [];
  for (let ranks = 1; ranks < most; ranks *= 2) counts.push(ranks);
  return [...counts, most];
}

/** Plots the efficiency of up to `most` ranks; each link is a panel. Links are in bits/s, by their names. */
export function ranksPlot(
  cluster: Omit<Cluster, 'linkBytesPerSecond'>,
  links: ReadonlyMap<string, number>,
  most: number,
): string {
  const points = [...links].flatMap(([link, bits]) =>
    EXCHANGES.flatMap(exchange =>
      rankCounts(most).map(ranks => {
        const { efficiency } = stepTime({ ...cluster, linkBytesPerSecond: bits / 8 }, ranks, exchange);
        return { link: `${link}/s`, exchange: exchange.name, ranks, efficiency };
      }),
    ),
  );
  const keys = EXCHANGES.map(({ name }, i) => ({
    link: `${[...links.keys()].at(-1)}/s`,
    exchange: name,
    ranks: 1,
    efficiency: 0.06 + 0.08 * i,
  }));
  return svgOf({
    width: 960,
    height: 340,
    marginBottom: 44,
    marginRight: 24,
    x: { type: 'log', base: 2, label: 'ranks', grid: true },
    y: { domain: [0, 1], label: 'efficiency', grid: true, tickFormat: '%' },
    fx: { label: null, domain: [...links.keys()].map(link => `${link}/s`) },
    color: { domain: EXCHANGES.map(({ name }) => name), range: EXCHANGES.map((_, i) => colorOf(i)) },
    marks: [
      Plot.frame({ strokeOpacity: 0.2 }),
      Plot.ruleX(
        [mostRanks({ ...cluster, linkBytesPerSecond: 1 })].filter(ranks => ranks < most),
        {
          strokeDasharray: '3 3',
          strokeOpacity: 0.6,
        },
      ),
      Plot.text(keys, { ...TEXT, x: 'ranks', y: 'efficiency', text: 'exchange', fill: 'exchange', fx: 'link' }),
      Plot.line(points, { x: 'ranks', y: 'efficiency', stroke: 'exchange', fx: 'link', marker: 'dot' }),
    ],
  });
}
