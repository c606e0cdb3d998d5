/** A study's tables, for the page and for a terminal alike. */
import type { LawFitResult } from '../scaling/fit-result.js';
import { type ParameterName, parameterNames } from '../scaling/law.js';
import { percent, short, signed } from './numbers.js';
import {
  finalPairsOf,
  type LanguageFits,
  pairsOf,
  type StudyView,
  savingsOf,
  shareOf,
  sourceLossRise,
} from './study-view.js';

/** A table whose cells are plain text. */
export interface TextTable {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const SUPERSCRIPTS = '⁰¹²³⁴⁵⁶⁷⁸⁹';
/** A parameter below this is 0: no loss changes by it. */
const ZERO = 1e-9;

/** Returns four digits, with a power of ten where there are many before or after the point. */
function number(value: number): string {
  const size = Math.abs(value);
  if (size < ZERO) return '0';
  if (size >= 1e-3 && size < 1e6) return String(Number(value.toPrecision(4)));
  const [digits, exponent] = value.toExponential(3).split('e') as [string, string];
  const raised = [...String(Number(exponent))].map(digit => (digit === '-' ? '⁻' : SUPERSCRIPTS[Number(digit)]));
  return `${digits}·10${raised.join('')}`;
}

type Interval = readonly [number, number] | null;
const range = (interval: Interval): string =>
  interval ? `${number(interval[0])} … ${number(interval[1])}` : 'no interval';

/**
 * Returns the parameters of one language's laws with their 95% intervals. There is no law of CPT without one of
 * scratch.
 */
export function parameterTable({ scratch, cpt, scratchCompute, cptCompute }: LanguageFits): TextTable {
  const names: readonly [ParameterName | 'a' | 'b', string][] = [
    ...parameterNames.map((name): [ParameterName, string] => [name, GREEK[name] ?? name]),
    ['a', 'a, of N_opt ∝ C^a'],
    ['b', 'b, of D_opt ∝ C^b'],
  ];
  const ofLaw = (fitting: LanguageFits['scratch'], name: ParameterName | 'a' | 'b', held: readonly string[]) => {
    if ('missing' in fitting || (fitting.fit.law === 'chinchilla' && name === 'gamma')) return ['–', ''];
    const { fit } = fitting;
    const value = name === 'a' || name === 'b' ? fit[name] : fit.parameters[name];
    const interval = held.includes(name) ? 'of scratch' : range(fit.intervals[name]);
    return [value === null ? 'none' : isOpen(fit, name) ? 'open' : number(value), interval];
  };
  const ofLine = (fitting: LanguageFits['scratchCompute'], name: 'k' | 'c') =>
    'missing' in fitting ? ['–', ''] : [number(fitting.fit.parameters[name]), range(fitting.fit.intervals[name])];
  return {
    head: ['parameter', 'scratch', '95%', 'CPT', '95%'],
    rows: [
      ...('missing' in scratch ? [] : names).map(([name, label]) => [
        label,
        ...ofLaw(scratch, name, []),
        ...ofLaw(cpt, name, ['E', 'A', 'alpha']),
      ]),
      ...(['k', 'c'] as const).map(name => [
        name === 'k' ? 'k, of k·C^−c' : 'c',
        ...ofLine(scratchCompute, name),
        ...ofLine(cptCompute, name),
      ]),
    ],
  };
}

/** Whether the points leave the parameter or exponent to chance. */
export const isOpen = ({ diagnosis: { open } }: LawFitResult, name: ParameterName | 'a' | 'b'): boolean =>
  name === 'a' || name === 'b' ? open.some(exponent => EXPONENTS.has(exponent)) : open.includes(name);

const EXPONENTS: ReadonlySet<ParameterName> = new Set(['alpha', 'beta', 'gamma']);

const GREEK: Readonly<Record<string, string>> = { alpha: 'α', beta: 'β', gamma: 'γ' };

/** Returns how well each law describes the runs of each strategy. */
export function fitErrorTable({ scratch, cpt }: LanguageFits): TextTable {
  const rows = Object.entries({ scratch, CPT: cpt }).flatMap(([runs, fitting]) => {
    if ('missing' in fitting) return [];
    const { fitErrors, points } = fitting.fit;
    return (['chinchilla', 'extended'] as const).map(law => {
      const { objective, rms, parameters } = fitErrors[law];
      return [`${law} law`, runs, String(points), number(objective), number(rms), number(parameters.gamma)];
    });
  });
  return { head: ['fit error', 'on runs', 'points', 'objective', 'rms of ln L', 'γ'], rows };
}

/** Returns how well each law predicts points that it was not fitted to. */
export function heldOutTable({ heldOut }: LanguageFits): TextTable {
  const rows = heldOut.flatMap(({ strategy, holdout, result }) => {
    if ('missing' in result) return [];
    return result.laws.map(({ law, fitted, heldOut: error, worst }) => [
      `${law} law`,
      strategy === 'cpt' ? 'CPT' : strategy,
      holdout === 'largest' ? 'largest size' : 'last third of tokens',
      String(result.points),
      ...[fitted, error, worst].map(value => `${(100 * value).toFixed(2)}%`),
    ]);
  });
  return { head: ['error held out', 'on runs', 'held out', 'points', 'rms fitted', 'rms held out', 'worst'], rows };
}

/** Says why fits are missing, and repeats the warnings of those that are there. */
export function fitNotes({ scratch, cpt, scratchCompute, cptCompute }: LanguageFits): string[] {
  const named = {
    'the law of scratch': scratch,
    'the law of CPT': cpt,
    'loss against compute of scratch': scratchCompute,
    'loss against compute of CPT': cptCompute,
  };
  return Object.entries(named).flatMap(([name, fitting]) => {
    if ('missing' in fitting) return [`${name} is missing: ${fitting.missing}`];
    return fitting.fit.warnings.map(warning => `${name}: ${warning}`);
  });
}

/** Returns what CPT saved at the lowest loss of scratch, by language and size. */
export function savingsTable({ curves, targets }: StudyView): TextTable {
  const rows = targets.flatMap(language =>
    finalPairsOf(curves, language)
      .sort((a, b) => a.cpt.parameters - b.cpt.parameters || a.cpt.seed - b.cpt.seed)
      .map(pair => {
        const { loss, scratch, cpt, savedTokens, savedFlops } = savingsOf(pair);
        return [
          language,
          pair.cpt.size,
          short(pair.cpt.parameters),
          String(pair.cpt.seed),
          loss.toFixed(4),
          short(scratch.tokens),
          cpt ? short(cpt.tokens) : pair.cpt.isDone ? 'not reached' : 'not yet reached',
          savedTokens === undefined ? '–' : percent(savedTokens),
          savedFlops === undefined ? '–' : percent(savedFlops),
        ];
      }),
  );
  return {
    head: [
      'into',
      'size',
      'parameters',
      'seed',
      'at loss (nats/token)',
      'scratch tokens',
      'CPT tokens',
      'tokens saved',
      'FLOPs saved',
    ],
    rows,
  };
}

/** Returns how CPT from earlier ends of the source compares with CPT from its last, after the same tokens. */
export function sourceEndsTable({ curves, fromEarlier }: StudyView): TextTable {
  const rows = [...fromEarlier]
    .sort((a, b) => a.parameters - b.parameters || a.seed - b.seed || a.sourceEnd! - b.sourceEnd!)
    .flatMap(earlier => {
      const { language, size, seed, sourceEnd, points } = earlier;
      const last = points.at(-1);
      const pair = pairsOf(curves, language).find(({ cpt }) => cpt.size === size && cpt.seed === seed);
      if (!last || !pair) return [];
      const same = pair.cpt.points.find(({ tokens }) => tokens === last.tokens);
      const { savedFlops } = savingsOf({ scratch: pair.scratch, cpt: earlier });
      const full = savingsOf(pair).savedFlops;
      return [
        [
          language,
          size,
          String(seed),
          String(sourceEnd),
          last.loss.toFixed(4),
          same ? signed(last.loss - same.loss) : '–',
          savedFlops === undefined ? '–' : percent(savedFlops),
          full === undefined ? '–' : percent(full),
        ],
      ];
    });
  return {
    head: [
      'into',
      'size',
      'seed',
      'source tokens per parameter',
      'last (nats/token)',
      'against the last end',
      'FLOPs saved',
      'from the last end',
    ],
    rows,
  };
}

/** Returns the source language's loss over each CPT run. */
export function forgettingTable({ curves, targets }: StudyView): TextTable {
  const rows = targets
    .flatMap(language =>
      curves
        .filter(curve => curve.strategy === 'cpt' && curve.language === language)
        .sort((a, b) => a.parameters - b.parameters || a.replay - b.replay || a.seed - b.seed),
    )
    .flatMap(curve => {
      const { language, size, account, seed, sourceLossBefore, points } = curve;
      const after = points.at(-1)?.sourceLoss;
      if (after === undefined) return [];
      const rise = sourceLossRise(curve);
      return [
        [
          language,
          size,
          shareOf(curve),
          account ?? '',
          String(seed),
          sourceLossBefore?.toFixed(4) ?? 'unknown',
          after.toFixed(4),
          rise === undefined ? '–' : `${signed(rise)}${curve.isDone ? '' : ' so far'}`,
        ],
      ];
    });
  return { head: ['into', 'size', 'replay', 'account', 'seed', 'before (nats/token)', 'last', 'rise'], rows };
}

/** Says why runs failed. */
export const failures = ({ rows }: StudyView): string[] =>
  rows.flatMap(({ run, error }) => (error === undefined ? [] : [`${run} failed: ${error}`]));

/** Returns every run with its state. */
export function runsTable({ rows, curves }: StudyView): TextTable {
  const known = rows.map(({ run, state, progress, size, strategy, language, replay, account, seed }) => {
    const last = curves.find(curve => curve.run === run)?.points.at(-1);
    return [
      run,
      state,
      percent(progress),
      size,
      strategy,
      language,
      replay > 0 ? `${percent(replay)} ${account ?? ''}` : '',
      String(seed),
      last ? short(last.tokens) : '',
      last ? last.loss.toFixed(4) : '',
    ];
  });
  return {
    head: ['run', 'state', 'done', 'size', 'strategy', 'language', 'replay', 'seed', 'tokens', 'loss (nats/token)'],
    rows: known,
  };
}
