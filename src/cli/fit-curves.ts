/** The laws of `fit` that are fitted to whole loss curves: what they read, and what is printed. */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { UserError } from '../errors.js';
import { readText } from '../input-files.js';
import { readRun } from '../report/runs.js';
import { type LossCurve, rateSums, ratesBetween } from '../scaling/curve.js';
import { parseCurve } from '../scaling/curve-file.js';
import { type CurveFit, fitCurves } from '../scaling/curve-fit.js';
import type { CurveLaw } from '../scaling/curve-laws.js';
import type { Terminal } from './command.js';
import { withProgress } from './progress.js';
import { makeTable } from './table.js';

export interface CurveFitCommand {
  readonly law: CurveLaw;
  readonly column?: Record<string, string>;
  readonly decay?: number;
  readonly source?: string;
  readonly bootstrap: number;
  readonly seed: number;
}

const FORMULAS: Readonly<Record<CurveLaw, readonly [plain: string, sized: string]>> = {
  annealing: ['L0 + A·S1^−α − C·S2', 'L0 + A·S1^−α + B·N^−β − C·S2·N^γ'],
  'multi-power': [
    'L0 + A·S1^−α − B·Σ(η_k−1 − η_k)(1 − (1 + C·η_k^−γ·S_k)^−β)',
    'L0 + A·S1^−α + F·N^−φ − B·Σ(η_k−1 − η_k)(1 − (1 + C·η_k^−γ·S_k)^−β)',
  ],
  'annealing-cpt': [
    'L0 + A·(S1_source + S1)^−α − C·S2 + B·(1 − (1 + E·S1)^−β)',
    'L0 + A·(S1_source + S1)^−α − C·S2 + B·(1 − (1 + E·S1)^−β)',
  ],
};

/** Whether a path is a run's folder, or its metrics.jsonl, rather than a CSV file. */
export const isRun = (path: string): boolean =>
  basename(path) === 'metrics.jsonl' || (existsSync(path) && statSync(path).isDirectory());

/** Reads the curve of a CSV file, of a run's folder, or of its metrics.jsonl. */
export function readCurve(path: string, columns?: Readonly<Record<string, string>>): LossCurve {
  if (!isRun(path)) return parseCurve(readText(path), path, columns);
  const folder = basename(path) === 'metrics.jsonl' ? dirname(path) : path;
  const { steps, config } = readRun(folder);
  const rows = steps.flatMap(({ step, loss }) => (loss === null ? [] : [{ step, loss }]));
  if (rows.length < 2) throw new UserError(`'${folder}' has logged ${rows.length} steps; a curve needs at least two`);
  const rates = ratesBetween(steps.map(({ step, learningRate }) => ({ step, rate: learningRate })));
  return { name: path, parameters: config.parameters.total, rates, rows };
}

export function fitCurvesCommand(terminal: Terminal, paths: readonly string[], command: CurveFitCommand): CurveFit {
  const { law, column, decay, source, bootstrap: replicates, seed } = command;
  const curves = paths.map(path => readCurve(path, column));
  const fit = withProgress('fit', 'starts', onProgress =>
    fitCurves(law, curves, { replicates, seed, decay, source: sourceOf(source, column), onProgress }),
  );
  printCurveFit(terminal, fit);
  return fit;
}

function sourceOf(path: string | undefined, column: Record<string, string> | undefined) {
  if (path === undefined) return undefined;
  const { rates } = readCurve(path, column);
  return { S1: rateSums(rates).S1.at(-1)!, rate: rates.at(-1)! };
}

function printCurveFit(terminal: Terminal, fit: CurveFit): void {
  terminal.print(`${fit.law}: L = ${FORMULAS[fit.law][fit.sized ? 1 : 0]}`);
  const decay = fit.law === 'multi-power' ? '' : `; λ ${fit.decay}`;
  terminal.print(`${fit.points} rows after warm-up of ${fit.curves.length} curves${decay}`);
  const table = makeTable(['', 'value', '95% interval', '']);
  for (const [name, value] of Object.entries(fit.parameters)) {
    const interval = fit.intervals[name];
    const range = interval ? `${Number(interval[0].toPrecision(4))} … ${Number(interval[1].toPrecision(4))}` : '';
    table.push([name, value.toPrecision(7), range, fit.open.includes(name) ? 'undetermined' : '']);
  }
  terminal.print(table.toString());
  terminal.print(
    `rms of ln L ${(100 * fit.rms).toFixed(3)}%, objective ${fit.objective.toPrecision(4)}; ` +
      `${fit.agreeing} of ${fit.starts} starts ended there`,
  );
  for (const warning of fit.warnings) terminal.print(`warning: ${warning}`);
}
