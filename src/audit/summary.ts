/** An audit in rows of text, for the terminal and for the page. */
import { type AuditReport, type Check, groupsOf, larger, worstOf } from './report.js';

/** A number in few digits; null is what is not finite. */
export function show(value: number | null | undefined): string {
  if (value === undefined) return '';
  if (value === null) return '∞';
  if (Number.isInteger(value) && Math.abs(value) < 1e4) return String(value);
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e4
    ? String(Number(value.toPrecision(3)))
    : value.toExponential(1);
}

export const SUMMARY_HEAD = [
  'kernel, variant',
  'checks',
  'failed',
  'of bound max',
  'of bound 99%',
  'variants differ',
  'ulp max',
  'ulp 99%',
  'ulp mean',
];

const mean = (values: readonly (number | null)[]): number | null =>
  values.includes(null) ? null : values.reduce<number>((sum, value) => sum + value!, 0) / Math.max(1, values.length);

/** A row for each kernel and variant: shares of the bound and differences of all inputs, ulp of ordinary ones. */
export function summaryRows({ checks }: AuditReport): string[][] {
  return [...groupsOf(checks)].map(([key, own]) => {
    const errors = own.filter(({ metric }) => metric === 'error');
    const ordinary = errors.filter(({ inputClass }) => inputClass === 'uniform');
    const most = (list: readonly Check[], spread: 'ulps' | 'shares', part: 'max' | 'p99') =>
      list.length === 0 ? undefined : list.map(check => check[spread]![part]).reduce(larger);
    const difference = own.find(({ metric }) => metric.startsWith('difference'));
    return [
      key,
      String(own.length),
      String(own.filter(({ passed }) => !passed).length),
      show(
        errors.length > 0
          ? most(errors, 'shares', 'max')
          : own.map(({ value, bound }) => (value === null ? null : value / bound)).reduce(larger),
      ),
      show(most(errors, 'shares', 'p99')),
      difference ? show(worstOf(own, difference.metric)) : '',
      show(most(ordinary, 'ulps', 'max')),
      show(most(ordinary, 'ulps', 'p99')),
      show(ordinary.length === 0 ? undefined : mean(ordinary.map(check => check.ulps!.mean))),
    ];
  });
}

/** A line of a check that failed. */
export const failureLine = ({ kernel, variant, shape, inputClass, output, metric, value, bound }: Check): string =>
  `${kernel} (${variant}), ${shape}, ${inputClass}: ${metric}${output ? ` of ${output}` : ''} ${show(value)}, ` +
  `bound ${show(bound)}`;
