/** The findings of an audit, as they are written to a file and read back. */
import { z } from 'zod';
import { UserError } from '../errors.js';
import { parseJson, readText } from '../input-files.js';
import { inWords, whyInvalid } from '../schema.js';

export const AUDIT_FORMAT = 'babelgrad-audit-2';

/** A number in JSON, which has no infinity: a number that is not finite is null. */
const number = z.number().nullable();
const spreadSchema = z.object({ max: number, p99: number, mean: number });

const checkSchema = z.object({
  kernel: z.string(),
  variant: z.string(),
  shape: z.string(),
  inputClass: z.string(),
  /** What was measured: 'error', 'stray writes', … */
  metric: z.string(),
  /**
   * The value; at most `bound` where the check passed. Errors are shares of the derived bound, so that their bound is
   * 1.
   */
  value: number,
  bound: z.number(),
  passed: z.boolean(),
  /**
   * The output that was judged, if this is an error, and below it the errors in ulp of the exact values and as shares
   * of the bound.
   */
  output: z.string().optional(),
  ulps: spreadSchema.optional(),
  shares: spreadSchema.optional(),
  /** The terms of the sum, where the shape is one of a series of lengths. */
  terms: z.number().optional(),
  /** The largest error and the largest bound of such a series, both over the largest exact magnitude. */
  relative: z.object({ error: number, bound: number }).optional(),
});
export type Check = z.infer<typeof checkSchema>;

const histogramSchema = z.object({
  kernel: z.string(),
  variant: z.string(),
  /** Elements by their error's share of the bound; the bins end at `BINS` of measure.ts. */
  counts: z.array(z.number()),
});

const reportSchema = z.object({
  format: z.literal(AUDIT_FORMAT),
  version: z.string(),
  adapter: z.object({
    name: z.string(),
    driver: z.string(),
    subgroupSizes: z.array(z.number()).default([]), // reports of version 0.1 have one number, `subgroupSize`
    features: z.array(z.string()),
  }),
  quick: z.boolean(),
  seconds: z.number(),
  /** What the adapter does with subnormal numbers and with multiply-adds, by case. */
  arithmetic: z.record(z.string(), z.string()),
  passed: z.number(),
  failed: z.number(),
  checks: z.array(checkSchema),
  histograms: z.array(histogramSchema),
});
export type AuditReport = z.infer<typeof reportSchema>;

/** Reads an audit. @throws UserError when the file is none. */
export function readAudit(path: string): AuditReport {
  const text = readText(path);
  try {
    return reportSchema.parse(parseJson(text), inWords);
  } catch (error) {
    throw new UserError(`'${path}' is not the JSON of 'audit kernels' (${AUDIT_FORMAT}): ${whyInvalid(error)}`);
  }
}

/** Returns a number as JSON takes it. */
export const finiteOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

/** Returns the checks of one kernel and variant, in the order of the report. */
export function groupsOf(checks: readonly Check[]): Map<string, Check[]> {
  const groups = new Map<string, Check[]>();
  for (const check of checks) {
    const key = `${check.kernel} · ${check.variant}`;
    groups.set(key, [...(groups.get(key) ?? []), check]);
  }
  return groups;
}

/** Returns the larger of two values, of which null is infinite. */
export const larger = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? null : Math.max(a, b);

/** Returns the largest value of a metric; undefined where there is none. */
export function worstOf(checks: readonly Check[], metric: string): number | null | undefined {
  const values = checks.filter(check => check.metric === metric).map(({ value }) => value);
  return values.length === 0 ? undefined : values.reduce(larger);
}
