/** The metrics of runs as one table of comma-separated values: a row for each step, evaluation and probe. */
import { stringify } from 'csv-stringify/sync';
import type { RunRecord } from './runs.js';

/** The columns of every table; then come those of languages, in order of appearance. */
const COLUMNS = [
  ...['run', 'kind', 'step', 'tokens', 'flops', 'loss', 'gradientNorm', 'skipped', 'lossScale', 'learningRate'],
  'tokensPerSecond',
];

type Row = Record<string, string | number | null | undefined>;

/**
 * Returns the metrics of runs as CSV. What a line of metrics has by language is named by its path: `heldOut.fr.loss`.
 * @example
 * import { metricsCsv, readRun } from 'babelgrad';
 *
 * console.log(metricsCsv([readRun('runs/english')]));
 */
export function metricsCsv(runs: readonly RunRecord[]): string {
  const rows = runs.flatMap(({ config, steps, evaluations, probes }) =>
    [...steps, ...evaluations, ...probes]
      .sort((a, b) => a.step - b.step) // of one step, the evaluation and the probe come after it
      .map(line => ({ run: config.name, ...flat(line) })),
  );
  const columns = [...new Set([...COLUMNS, ...rows.flatMap(Object.keys)])];
  return stringify(rows, { header: true, columns });
}

/** Returns the values of an object by their paths. */
function flat(value: object, prefix = ''): Row {
  const row: Row = {};
  for (const [name, inner] of Object.entries(value) as [string, unknown][]) {
    if (typeof inner === 'object' && inner !== null) Object.assign(row, flat(inner, `${prefix}${name}.`));
    else row[prefix + name] = inner as Row[string];
  }
  return row;
}
