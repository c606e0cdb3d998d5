/** An audit as one self-contained HTML page. */
import * as Plot from '@observablehq/plot';
import { escapeHtml, figure, htmlPage, table } from '../report/page.js';
import { colorOf, svgOf } from '../report/plots.js';
import { BINS } from './measure.js';
import type { AuditReport, Check } from './report.js';
import { SUMMARY_HEAD, show, summaryRows } from './words.js';

export function auditPage(report: AuditReport): string {
  const { adapter, passed, failed, seconds, quick, denormals, checks, histograms } = report;
  const failures = checks.filter(check => !check.passed);
  const kernels = [...new Set(checks.filter(({ terms }) => terms !== undefined).map(({ kernel }) => kernel))];
  const verdict = failed === 0 ? `All ${passed} checks passed.` : `${failed} of ${passed + failed} checks failed.`;
  const states = Object.entries(denormals).map(([name, state]) => [escapeHtml(name), escapeHtml(state)]);
  return htmlPage(
    `Audit of ${adapter.name}`,
    `<p class="finding">${verdict}</p>
<p class="note">${escapeHtml(adapter.driver)}, babelgrad ${escapeHtml(report.version)}, ${quick ? 'quick, ' : ''}${seconds} s. Errors are against float64 on the same inputs; a share of 1 is the derived bound, and what is beyond it fails.</p>
${failures.length > 0 ? `<h2>Failures</h2><div class="scroll">${failureTable(failures)}</div>` : ''}
<h2>Kernels</h2>
<div class="scroll">${table(
      SUMMARY_HEAD,
      summaryRows(report).map(row => row.map(escapeHtml)),
    )}</div>
<h2>Error against the length of the sum</h2>
<div class="plots">${kernels.map(kernel => figure(seriesPlot(kernel, checks))).join('\n')}</div>
<h2>Errors as shares of the bound</h2>
<p class="note">Elements of all shapes and inputs. The first bar holds exact results.</p>
<div class="plots">${histograms.map((histogram, i) => figure(histogramPlot(histogram, i))).join('\n')}</div>
<h2>Numbers below the smallest normal one</h2>
<div class="scroll">${table(['case', 'what this adapter does'], states)}</div>`,
  );
}

const SHOWN_FAILURES = 200;

function failureTable(failures: readonly Check[]): string {
  const rows = failures
    .slice(0, SHOWN_FAILURES)
    .map(({ kernel, variant, shape, inputClass, output, metric, value, bound }) =>
      [kernel, variant, shape, inputClass, output ? `${metric} of ${output}` : metric, show(value), show(bound)].map(
        escapeHtml,
      ),
    );
  return table(['kernel', 'variant', 'shape', 'input', 'check', 'value', 'bound'], rows);
}

/** The largest error of each length, in ulp of the exact value, and what the bound allows. */
function seriesPlot(kernel: string, checks: readonly Check[]): string {
  const own = checks.filter(check => check.kernel === kernel && check.terms !== undefined && check.metric === 'error');
  const variants = [...new Set(own.map(({ variant }) => variant))];
  const rows = own.flatMap(({ variant, terms, shares, output }) =>
    shares?.max ? [{ variant, terms: terms!, share: shares.max, title: `${variant}, ${output}` }] : [],
  );
  const legend = variants.map(
    (variant, i) => `<span class="key" style="background:${colorOf(i)}"></span>${escapeHtml(variant)} `,
  );
  const svg = svgOf({
    width: 640,
    height: 320,
    marginLeft: 64,
    marginBottom: 44,
    x: {
      type: 'log',
      base: 2,
      label: `${kernel}: terms of the sum`,
      labelAnchor: 'center',
      tickFormat: (n: number) => String(n),
    },
    y: {
      type: 'log',
      label: 'largest error, as a share of the bound',
      grid: true,
      domain: [1e-6, 2],
      ticks: [1, 1e-2, 1e-4, 1e-6],
      tickFormat: String,
    },
    marks: [
      Plot.ruleY([1], { strokeDasharray: '4 3' }),
      Plot.text([{ label: 'bound' }], {
        x: Math.min(...own.map(({ terms }) => terms!)),
        y: 1,
        text: 'label',
        dy: -8,
        textAnchor: 'start',
      }),
      // rings, since variants often give the same bits
      ...variants.map((variant, i) => {
        const own = rows.filter(row => row.variant === variant);
        return Plot.dot(own, {
          x: 'terms',
          y: 'share',
          stroke: colorOf(i),
          strokeWidth: 1.75,
          r: 3 + 2 * i,
          title: 'title',
        });
      }),
    ],
  });
  return `${svg}<p class="note">${legend.join(' ')}</p>`;
}

const fraction = (share: number): string => (share === 1 ? '1' : `1/${1 / share}`);

function histogramPlot({ kernel, variant, counts }: AuditReport['histograms'][number], index: number): string {
  const total = counts.reduce((a, b) => a + b, 0);
  const names = BINS.map(end =>
    end === 0 ? 'exact' : end === Number.POSITIVE_INFINITY ? '> 1' : `≤ ${fraction(end)}`,
  );
  const rows = counts.map((count, i) => ({ bin: names[i]!, share: count / total, count }));
  return svgOf({
    width: 640,
    height: 220,
    marginLeft: 56,
    marginBottom: 44,
    x: { domain: names, label: `${kernel}, ${variant}: error over the bound`, labelAnchor: 'center' },
    y: { label: 'share of elements', grid: true, percent: true },
    marks: [
      Plot.barY(rows, {
        x: 'bin',
        y: 'share',
        fill: colorOf(index),
        title: ({ count }: { count: number }) => `${count} elements`,
      }),
      Plot.ruleY([0]),
    ],
  });
}
