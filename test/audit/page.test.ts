import { parseHTML } from 'linkedom';
import { expect, test } from 'vitest';
import { BINS } from '../../src/audit/error-units.js';
import { auditPage } from '../../src/audit/page.js';
import { AUDIT_FORMAT, type AuditReport, type Check } from '../../src/audit/report.js';

const check: Check = {
  kernel: 'matmul NT',
  variant: 'tiled <4 x 4>',
  shape: '8 x 8 x 8',
  inputClass: 'uniform',
  metric: 'error',
  output: 'c',
  ulps: { max: 3, p99: 2, mean: 1 },
  shares: { max: 0.25, p99: 0.2, mean: 0.1 },
  value: 0.25,
  bound: 1,
  passed: true,
};
const series = [16, 64, 256].map(terms => ({ ...check, terms, relative: { error: 1e-7, bound: 1e-6 } }));
const histogram = { kernel: check.kernel, variant: check.variant, counts: BINS.map((_, i) => i) };

function pageOf(fields: Partial<AuditReport>) {
  const report: AuditReport = {
    format: AUDIT_FORMAT,
    version: '1',
    adapter: { name: 'soft <pipe>', driver: 'driver', subgroupSizes: [8], features: [] },
    quick: true,
    seconds: 1,
    arithmetic: { 'f32 sum': 'kept' },
    passed: 1,
    failed: 0,
    checks: [check],
    histograms: [],
    ...fields,
  };
  return parseHTML(auditPage(report)).document;
}
const titles = (page: ReturnType<typeof pageOf>) =>
  [...page.querySelectorAll('h2')].map(({ textContent }) => textContent);

test('the page has a figure for every series of lengths and every histogram', () => {
  const page = pageOf({ checks: [check, ...series], histograms: [histogram] });
  expect(titles(page)).toEqual([
    'Kernels',
    'Error against the length of the sum',
    'Errors as shares of the bound',
    "Arithmetic that is the adapter's own choice",
  ]);
  const [lengths, shares] = page.querySelectorAll('.plots');
  expect(lengths!.querySelectorAll('figure')).toHaveLength(1);
  expect(lengths!.querySelectorAll('circle')).toHaveLength(series.length);
  expect(lengths!.textContent).toContain('matmul NT, c: terms of the sum');
  expect(shares!.querySelectorAll('rect')).toHaveLength(BINS.length);
});

test('a section without figures is left out', () => {
  expect(titles(pageOf({}))).toEqual(['Kernels', "Arithmetic that is the adapter's own choice"]);
});

test('failures are told first', () => {
  const page = pageOf({ checks: [{ ...check, value: null, passed: false }], passed: 0, failed: 1 });
  expect(titles(page)[0]).toBe('Failures');
  expect(page.querySelector('.finding')!.textContent).toBe('1 of 1 checks failed.');
  expect(page.querySelector('td:nth-child(2)')!.textContent).toBe('tiled <4 x 4>');
});
