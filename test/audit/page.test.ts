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
  return parseHTML(auditPage(report, 'Made by <me>')).document;
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
  expect(lengths!.querySelectorAll('.wide circle')).toHaveLength(series.length);
  expect(lengths!.textContent).toContain('matmul NT, c: terms of the sum');
  expect(shares!.querySelectorAll('.wide rect')).toHaveLength(BINS.length);
  expect(shares!.querySelectorAll('.narrow rect')).toHaveLength(BINS.length);
});

test('a section without figures is left out', () => {
  expect(titles(pageOf({}))).toEqual(['Kernels', "Arithmetic that is the adapter's own choice"]);
});

test('what decides is told before the table, and stands before what does not; parts have links, names and an origin', () => {
  const page = pageOf({ checks: [check, ...series], histograms: [histogram] });
  const head = [...page.querySelectorAll('#kernels th')].map(({ textContent }) => textContent);
  expect(head.indexOf('failed')).toBeLessThan(head.indexOf('of bound max'));
  expect(head.indexOf('of bound max')).toBeLessThan(head.indexOf('ulp max'));
  const cells = [...page.querySelectorAll('#kernels td')].map(({ textContent }) => textContent);
  expect(cells[head.indexOf('of bound max')]).toBe('0.25');
  expect(cells[head.indexOf('ulp max')]).toBe('3');
  const [note] = page.querySelectorAll('#kernels > *:not(h2)');
  expect(note!.textContent).toMatch(/of bound is the error over its bound, of all inputs, and decides\./);
  const links = [...page.querySelectorAll('nav a')].map(link => link.getAttribute('href')!);
  expect(links).toEqual(['#kernels', '#lengths', '#shares', '#arithmetic']);
  for (const link of links) expect(page.querySelector(link)).not.toBeNull();
  for (const table of page.querySelectorAll('.scroll')) expect(table.getAttribute('aria-label')).toMatch(/\w/);
  for (const svg of page.querySelectorAll('svg')) expect(svg.getAttribute('aria-label')).toMatch(/ by matmul NT, /);
  expect(page.querySelector('footer')!.textContent).toBe('Made by <me>');
});

test('failures are told first', () => {
  const page = pageOf({ checks: [{ ...check, value: null, passed: false }], passed: 0, failed: 1 });
  expect(titles(page)[0]).toBe('Failures');
  expect(page.querySelector('.finding')!.textContent).toBe('1 of 1 checks failed.');
  expect(page.querySelector('td:nth-child(2)')!.textContent).toBe('tiled <4 x 4>');
});
