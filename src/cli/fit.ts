/** The command `fit`: a scaling law from measured points. */
import { UserError } from '../errors.js';
import { checkFilePlace, writeFileWhole } from '../files.js';
import { fitChinchilla, fitCompute, fitCpt, parseFit, parsePoints } from '../index.js';
import { readText } from '../input-files.js';
import { short } from '../report/numbers.js';
import { isOpen } from '../report/study-tables.js';
import type { Resampling, RunPoint } from '../scaling/bootstrap.js';
import type { ComputeFit } from '../scaling/compute-line.js';
import { type CurveLaw, curveLaws } from '../scaling/curve-laws.js';
import type { LawFitResult } from '../scaling/fit-result.js';
import { compareHeldOut, type Holdout, type HoldoutResult } from '../scaling/holdout.js';
import { parameterNames } from '../scaling/law.js';
import type { Exclusion, Used } from '../scaling/points.js';
import { fitRepetition, type RepetitionFit } from '../scaling/repetition-fit.js';
import type { CommandResult, Terminal } from './command.js';
import { fitCurvesCommand } from './fit-curves.js';
import { withProgress } from './progress.js';
import { makeTable } from './table.js';

interface FitOptions {
  law: 'chinchilla' | 'cpt' | 'compute' | 'repetition' | CurveLaw;
  decay?: number;
  source?: string;
  scratch?: string;
  holdout?: Holdout;
  bootstrap: number;
  resample: Resampling;
  seed: number;
  column?: Record<string, string>;
  where?: Record<string, string>;
  exclude?: Exclusion[];
  out?: string;
}

/** The command `fit`. */
export async function fit(terminal: Terminal, options: FitOptions, files: string[]): Promise<CommandResult> {
  const { law, column, where, exclude, out } = options;
  if (out) checkFilePlace(out);
  const save = <Result extends CommandResult>(result: Result): Result => {
    if (out) {
      writeFileWhole(out, `${JSON.stringify(result)}\n`);
      terminal.print(`fit: ${out}`);
    }
    return result;
  };
  if (isCurveLaw(law)) {
    checkCurveOptions(options);
    return save({ ...fitCurvesCommand(terminal, files, { ...options, law }) });
  }
  if (options.holdout !== undefined && law !== 'chinchilla' && law !== 'cpt') {
    throw new UserError(`--holdout compares the laws with and without γ: it goes with chinchilla and cpt, not ${law}`);
  }
  const [file] = files;
  if (files.length > 1) throw new UserError(`the law ${law} is fitted to the points of one file`);
  if (options.decay !== undefined || options.source !== undefined) {
    throw new UserError(`--decay and --source go with a law of curves (${curveLaws.join(', ')}), not ${law}`);
  }
  const { points, used } = parsePoints(readText(file!), file!, { columns: column, where, exclude, alike: KINDS });
  if (points.length === 0) throw new UserError(`no row of '${file}' is left: ${words(used)}`);
  const bootstrap = { replicates: options.bootstrap, seed: options.seed, resample: options.resample };
  if (options.resample === 'runs' && points.some(({ run }) => run === undefined)) {
    throw new UserError(`--resample runs needs the name of the run of every point: a column 'run' in '${file}'`);
  }
  if (law !== 'cpt' && law !== 'repetition' && options.scratch !== undefined)
    throw new UserError(`--scratch goes with --law cpt, not ${law}`);
  let result: CommandResult;
  if (law === 'compute') {
    const fit = fitCompute(points, bootstrap);
    printCompute(terminal, fit, used);
    result = { ...fit, used };
  } else if (law === 'repetition') {
    const base = baseFit(options.scratch);
    const fit = withProgress('fit', 'starts', onProgress => fitRepetition(points, base, bootstrap, onProgress));
    printRepetition(terminal, fit, used);
    result = { ...fit, used };
  } else {
    const fit = withProgress('fit', 'starts', onProgress =>
      law === 'cpt'
        ? fitCpt(points, used, scratchFit(options.scratch), bootstrap, onProgress)
        : fitChinchilla(points, used, bootstrap, onProgress),
    );
    printLaw(terminal, fit, used);
    const held = options.holdout && heldOut(terminal, points, options.holdout, fit);
    result = { ...fit, used, ...(held && { holdout: held }) };
  }
  return save(result);
}

/** What a study's points are of that one law cannot be of. */
const KINDS = ['strategy', 'language', 'rank'];

const isCurveLaw = (law: string): law is CurveLaw => (curveLaws as readonly string[]).includes(law);

function checkCurveOptions({ law, scratch, where, exclude, resample, holdout }: FitOptions): void {
  if (holdout !== undefined) throw new UserError(`a fit of ${law} always leaves each curve out in turn: no --holdout`);
  if (scratch !== undefined) throw new UserError(`--scratch goes with --law cpt, not ${law}`);
  if (where || exclude || resample !== 'rows') {
    throw new UserError(`--where, --exclude and --resample go with laws of points, not with ${law}`);
  }
}

function scratchFit(path: string | undefined) {
  if (path === undefined) {
    throw new UserError(
      'a cpt fit keeps E, A and alpha of the fit of the runs from scratch: ' +
        'make it with --law chinchilla --out fit.json, ' +
        'and give it with --scratch fit.json',
    );
  }
  const fit = parseFit(readText(path), path);
  if (fit.law !== 'chinchilla') throw new UserError(`'${path}' is a ${fit.law} fit; --scratch needs a chinchilla fit`);
  return fit;
}

function baseFit(path: string | undefined) {
  if (path === undefined) {
    throw new UserError(
      'a repetition fit keeps the law of runs that repeat nothing: make it with --law chinchilla or cpt, --out ' +
        'fit.json, and give it with --scratch fit.json',
    );
  }
  return parseFit(readText(path), path);
}

function printRepetition(terminal: Terminal, fit: RepetitionFit, used: Used): void {
  terminal.print("repetition: L(N', D'), D' = U_D + U_D R*_D (1 − e^(−R_D/R*_D)), N' likewise");
  terminal.print(`${words(used)}; ${fit.repeated} repeat tokens`);
  const table = makeTable(['', 'value', '95% interval', '']);
  for (const name of ['R_D', 'R_N'] as const) {
    const note = fit.open.includes(name) ? 'undetermined' : '';
    table.push([`${name}*`, figure(fit.parameters[name]), range(fit.intervals[name]), note]);
  }
  terminal.print(table.toString());
  terminal.print(
    `rms of ln L ${figure(fit.rms)}, with every token taken for new ${figure(fit.rmsWithout)}; ` +
      `${fit.agreeing} of ${fit.starts} starts ended there`,
  );
  for (const warning of fit.warnings) terminal.print(`warning: ${warning}`);
}

/** Compares the laws of a fit at points held out, and prints it. */
function heldOut(terminal: Terminal, points: readonly RunPoint[], holdout: Holdout, fit: LawFitResult): HoldoutResult {
  const { chinchilla, extended } = fit.fitErrors;
  const laws = { chinchilla: chinchilla.parameters, extended: extended.parameters };
  const { scratch } = fit;
  const result = compareHeldOut(points, holdout, laws, scratch && (() => scratch.parameters));
  const table = makeTable([`held out: ${holdout}`, 'rms fitted', 'rms held out', 'worst', '']);
  for (const { law, fitted, heldOut: error, worst } of result.laws) {
    const cells = [fitted, error, worst].map(value => `${(100 * value).toFixed(3)}%`);
    table.push([law, ...cells, law === result.best ? 'best' : '']);
  }
  terminal.print(table.toString());
  return result;
}

/** Says which rows were used. */
function words({ rows, points, excluded, where, parameterCount }: Used): string {
  const reasons = Object.entries(excluded).map(([reason, count]) => {
    const names: Record<string, string> = {
      repeated: 'repeated',
      warmup: 'before the end of warm-up',
      unannealed: 'not annealed',
      where: `without ${Object.entries(where)
        .map(pair => pair.join('='))
        .join(', ')}`,
    };
    return `${count} ${names[reason]}`;
  });
  const left = reasons.length > 0 ? ` (left out: ${reasons.join(', ')})` : '';
  const count = parameterCount === 'unstated' ? "the file doesn't say which count N is" : `N is '${parameterCount}'`;
  return `${points} of ${rows} rows${left}; ${count}`;
}

/** Returns seven digits, in powers of ten where there are many before or after the point. */
function figure(value: number): string {
  const size = Math.abs(value);
  return value !== 0 && (size < 1e-3 || size >= 1e7) ? value.toExponential(6) : value.toPrecision(7);
}

const range = (interval: readonly [number, number] | null): string =>
  interval ? `${Number(interval[0].toPrecision(4))} … ${Number(interval[1].toPrecision(4))}` : '';

const joined = (notes: readonly string[]): string => notes.filter(note => note !== '').join('; ');

const span = ([low, high]: readonly [number, number]): string =>
  low === high ? short(low) : `${short(low)} … ${short(high)}`;

function printLaw(terminal: Terminal, fit: LawFitResult, used: Used): void {
  const formula = fit.law === 'cpt' ? 'E + A/N^α + B/(D^β N^γ)' : 'E + A/N^α + B/D^β';
  terminal.print(`${fit.law}: L(N, D) = ${formula}`);
  terminal.print(words(used));
  const { parameters, tokens, tokensPerParameter } = fit.range;
  terminal.print(`N ${span(parameters)}, D ${span(tokens)}, D/N ${span(tokensPerParameter)}`);
  const table = makeTable(['', 'value', '95% interval', '']);
  const held = fit.law === 'cpt' ? ['E', 'A', 'alpha'] : [];
  for (const name of parameterNames) {
    if (fit.law === 'chinchilla' && name === 'gamma') continue;
    const notes = [isOpen(fit, name) ? 'undetermined' : '', held.includes(name) ? 'of the scratch fit' : ''];
    table.push([name, figure(fit.parameters[name]), range(fit.intervals[name]), joined(notes)]);
  }
  const grows = { a: 'N_opt grows as C^a', b: 'D_opt grows as C^b' };
  for (const name of ['a', 'b'] as const) {
    const value = fit[name];
    const notes = [isOpen(fit, name) ? 'undetermined' : '', grows[name]];
    table.push([name, value === null ? 'none' : figure(value), range(fit.intervals[name]), joined(notes)]);
  }
  terminal.print(table.toString());
  terminal.print(
    `objective ${figure(fit.objective)} (sum of Huber terms over ${fit.points} points); ` +
      `${fit.agreeing} of ${fit.starts} starts ended there`,
  );
  const errors = makeTable(['fit error on these points', 'objective', 'rms of ln L', 'gamma']);
  for (const [name, { objective, rms, parameters: law }] of Object.entries(fit.fitErrors)) {
    errors.push([name, figure(objective), figure(rms), figure(law.gamma)]);
  }
  terminal.print(errors.toString());
  for (const { direction, deviation } of fit.diagnosis.undetermined) {
    const parts = Object.entries(direction).map(
      ([name, part]) => `${name} ${part < 0 ? '−' : '+'}${Math.abs(part).toFixed(2)}`,
    );
    const how = deviation === undefined ? 'the Hessian is singular' : `standard deviation ${deviation.toFixed(2)}`;
    terminal.print(`undetermined: the direction (${parts.join(', ')}): ${how}`);
  }
  for (const warning of fit.warnings) terminal.print(`warning: ${warning}`);
}

function printCompute(terminal: Terminal, fit: ComputeFit, used: Used): void {
  terminal.print('compute: L(C) = k C^-c on the lower envelope');
  terminal.print(words(used));
  terminal.print(`${fit.points} points on the envelope, C ${span(fit.range.compute)} FLOPs`);
  const table = makeTable(['', 'value', '95% interval']);
  for (const name of ['k', 'c'] as const) table.push([name, figure(fit.parameters[name]), range(fit.intervals[name])]);
  terminal.print(table.toString());
  terminal.print(`objective ${figure(fit.objective)} (sum of Huber terms over ${fit.points} points)`);
  for (const warning of fit.warnings) terminal.print(`warning: ${warning}`);
}
