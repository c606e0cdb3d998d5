/** Two audits side by side: two adapters, or two versions of the project. */
import { type AuditReport, type Check, groupsOf, larger } from './report.js';
import { failureLine } from './summary.js';

export interface KernelFigures {
  readonly failed: number;
  /** Mean error of ordinary inputs, in ulp. */
  readonly ulpMean: number | null | undefined;
  /** Largest error of all inputs, as a share of the bound. */
  readonly share: number | null | undefined;
}

export interface AuditComparison {
  readonly a: { readonly adapter: string; readonly version: string };
  readonly b: { readonly adapter: string; readonly version: string };
  /** The figures by kernel and variant; undefined where one audit has none of it. */
  readonly kernels: readonly { readonly key: string; readonly a?: KernelFigures; readonly b?: KernelFigures }[];
  /** Cases that the two treat otherwise. */
  readonly arithmetic: readonly { readonly name: string; readonly a: string; readonly b: string }[];
  /** Checks that B has failed, and A has not. */
  readonly newlyFailing: readonly string[];
  /** Checks of both, by whether their values are the same. */
  readonly same: number;
  readonly changed: number;
}

export function compareAudits(a: AuditReport, b: AuditReport): AuditComparison {
  const [groupsA, groupsB] = [groupsOf(a.checks), groupsOf(b.checks)];
  const kernels = [...new Set([...groupsA.keys(), ...groupsB.keys()])].map(key => {
    const [own, other] = [groupsA.get(key), groupsB.get(key)];
    return { key, ...(own && { a: figures(own) }), ...(other && { b: figures(other) }) };
  });
  const before = new Map(a.checks.map(check => [identity(check), check]));
  let [same, changed] = [0, 0];
  const newlyFailing: string[] = [];
  for (const check of b.checks) {
    const old = before.get(identity(check));
    if (old) {
      if (old.value === check.value) same++;
      else changed++;
    }
    if (!check.passed && (old?.passed ?? true)) newlyFailing.push(failureLine(check));
  }
  const names = [...new Set([...Object.keys(a.arithmetic), ...Object.keys(b.arithmetic)])];
  const arithmetic = names.flatMap(name => {
    const [inA, inB] = [a.arithmetic[name] ?? 'not there', b.arithmetic[name] ?? 'not there'];
    return inA === inB ? [] : [{ name, a: inA, b: inB }];
  });
  const source = ({ adapter, version }: AuditReport) => ({ adapter: `${adapter.name} (${adapter.driver})`, version });
  return { a: source(a), b: source(b), kernels, arithmetic, newlyFailing, same, changed };
}

const identity = ({ kernel, variant, shape, inputClass, metric, output = '' }: Check): string =>
  [kernel, variant, shape, inputClass, metric, output].join(' | ');

function figures(checks: readonly Check[]): KernelFigures {
  const errors = checks.filter(({ metric }) => metric === 'error');
  const means = errors.filter(({ inputClass }) => inputClass === 'uniform').map(({ ulps }) => ulps!.mean);
  const total = means.reduce<number | null>((sum, value) => (sum === null || value === null ? null : sum + value), 0);
  return {
    failed: checks.filter(({ passed }) => !passed).length,
    ulpMean: means.length === 0 ? undefined : total === null ? null : total / means.length,
    share: errors.length === 0 ? undefined : errors.map(({ value }) => value).reduce(larger),
  };
}
