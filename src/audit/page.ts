/** An audit as one self-contained HTML page. */
import * as Plot from '@observablehq/plot';
import type { Scale } from '../report/figure.js';
import {
  atScales,
  contentsHtml,
  escapeHtml,
  figure,
  footerHtml,
  htmlPage,
  type Section,
  scrolled,
  sectionsHtml,
  table,
} from '../report/html.js';
import { colorOf, NARROW, svgOf } from '../report/plots.js';
import { TOOLTIP } from '../report/tooltip.js';
import { BINS } from './error-units.js';
import { type AuditReport, type Check, larger } from './report.js';
import { SUMMARY_HEAD, show, summaryRows } from './summary.js';

/** Returns the page; `made` says when and by what it was made, and stands at its end. */
export function auditPage(report: AuditReport, made?: string): string {
  const { adapter, passed, failed, seconds, quick, arithmetic, checks, histograms } = report;
  const failures = checks.filter(check => !check.passed);
  const verdict = failed === 0 ? `All ${passed} checks passed.` : `${failed} of ${passed + failed} checks failed.`;
  const states = Object.entries(arithmetic).map(([name, state]) => [escapeHtml(name), escapeHtml(state)]);
  const sections: Section[] = [
    ...(failures.length > 0
      ? [{ id: 'failures', title: 'Failures', html: scrolled(failureTable(failures), 'Failures') }]
      : []),
    {
      id: 'kernels',
      title: 'Kernels',
      html: `${HOW_TO_READ}
${scrolled(
  table(
    SUMMARY_HEAD,
    summaryRows(report).map(row => row.map(escapeHtml)),
  ),
  'Kernels',
)}`,
    },
    ...plots(
      'lengths',
      'Error against the length of the sum',
      'Both over the largest exact value of the output, so that they stand side by side. Exact results have no place ' +
        'on a logarithmic axis.',
      seriesOf(checks).map(series => seriesPlot(series, checks)),
    ),
    ...plots(
      'shares',
      'Errors as shares of the bound',
      'Elements of all shapes and inputs, by their error over its bound, up to the number under the bar; the first ' +
        'holds exact results.',
      histograms.map(histogram => atScales(scale => histogramPlot(histogram, scale))),
    ),
    {
      id: 'arithmetic',
      title: "Arithmetic that is the adapter's own choice",
      html: scrolled(table(['case', 'what this adapter does'], states), 'Arithmetic'),
    },
  ];
  return htmlPage(
    `Audit of ${adapter.name}`,
    `<p class="finding">${verdict}</p>
<p class="note">${escapeHtml(adapter.driver)}, babelgrad ${escapeHtml(report.version)},
${quick ? 'quick, ' : ''}${seconds} s.</p>
${contentsHtml(sections)}
${sectionsHtml(sections)}${footerHtml(made)}`,
    TOOLTIP,
  );
}

const HOW_TO_READ = `<p class="note">Errors are against float64 on the same inputs. A derived bound says how large
rounding can make each: <b>of bound</b> is the error over its bound, of all inputs, and decides. Up to 1 a check
passes; beyond it fails. <b>Variants differ</b> is the distance between variants of one kernel. <b>Ulp</b>, units in the
last place of the exact result, decide nothing: where terms cancel the result is small, and what is right to its last
bit elsewhere may be thousands of its ulp away. They are of inputs between −2 and 2.</p>`;

/** A section of plots; none where there are no plots. */
const plots = (id: string, title: string, note: string, drawn: readonly string[]): Section[] =>
  drawn.length === 0
    ? []
    : [
        {
          id,
          title,
          html: `<p class="note">${note}</p>
<div class="plots">${drawn.map(figure).join('\n')}</div>`,
        },
      ];

/** An output whose error was measured for several lengths of a sum. */
interface Series {
  readonly kernel: string;
  readonly output: string;
}

function seriesOf(checks: readonly Check[]): Series[] {
  const found = new Map<string, Series>();
  for (const { kernel, output, relative } of checks) {
    if (relative && output) found.set(`${kernel} ${output}`, { kernel, output });
  }
  return [...found.values()];
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

const MARGIN_LEFT = 60;
/** What the name of an axis takes below a plot. */
const bottomAt = (scale: Scale): number => (scale === 'narrow' ? 50 : 44);
const widthAt = (scale: Scale): number => (scale === 'narrow' ? NARROW.width : 480);

/** Largest error of each length of a sum, and largest bound, both over the largest exact value; log-log. */
function seriesPlot({ kernel, output }: Series, checks: readonly Check[]): string {
  const own = checks.filter(check => check.kernel === kernel && check.output === output && check.relative);
  const variants = [...new Set(own.map(({ variant }) => variant))];
  const lengths = [...new Set(own.map(({ terms }) => terms!))].sort((a, b) => a - b);
  const largest = (chosen: readonly Check[], part: 'error' | 'bound') =>
    lengths.flatMap(terms => {
      const value = chosen.filter(check => check.terms === terms).map(check => check.relative![part]);
      const most = value.length > 0 ? value.reduce(larger) : null;
      return most ? [{ terms, value: most }] : []; // neither an exact result nor one that is not finite has a place
    });
  const bounds = largest(own, 'bound');
  const errors = variants.map(variant =>
    largest(
      own.filter(check => check.variant === variant),
      'error',
    ),
  );
  const values = [...bounds, ...errors.flat()].map(({ value }) => Math.log10(value));
  const [lowest, highest] = [Math.floor(Math.min(...values)), Math.ceil(Math.max(...values))];
  const legend = variants.map(
    (variant, i) => `<span class="key" style="background:${colorOf(i)}"></span>${escapeHtml(variant)} `,
  );
  const draw = (scale: Scale): Plot.PlotOptions => ({
    width: widthAt(scale),
    height: 320,
    marginTop: 32,
    marginLeft: MARGIN_LEFT,
    marginRight: 54,
    marginBottom: bottomAt(scale),
    x: {
      type: 'log',
      base: 2,
      label: `${kernel}, ${output}: terms of the sum`,
      labelAnchor: 'center',
      ticks: lengths.filter((_, i) => i % Math.ceil(lengths.length / (scale === 'narrow' ? 4 : 6)) === 0),
      tickFormat: String,
    },
    y: {
      type: 'log',
      label: 'largest error, over the largest value',
      grid: true,
      domain: [10 ** lowest, 10 ** highest],
      ticks: Array.from({ length: highest - lowest + 1 }, (_, i) => 10 ** (lowest + i)),
      tickFormat: (value: number) => power(10, Math.log10(value)),
    },
    marks: [
      Plot.line(bounds, { x: 'terms', y: 'value', strokeDasharray: '4 3' }),
      Plot.text(bounds.slice(-1), { x: 'terms', y: 'value', text: () => 'bound', dx: 4, textAnchor: 'start' }),
      ...errors.map((points, i) => Plot.line(points, { x: 'terms', y: 'value', stroke: colorOf(i), strokeWidth: 1 })),
      // rings, since variants often give the same bits
      ...errors.map((points, i) =>
        Plot.dot(points, {
          x: 'terms',
          y: 'value',
          stroke: colorOf(i),
          strokeWidth: 1.75,
          r: 3 + 2 * i,
          title: ({ terms, value }: { terms: number; value: number }) => `${variants[i]}, ${terms}: ${show(value)}`,
        }),
      ),
    ],
  });
  return `${atScales(scale => svgOf(draw(scale), scale))}<p class="note">${legend.join(' ')}</p>`;
}

/** 10⁻³, of a whole exponent but for rounding. */
function power(base: number, exponent: number): string {
  const whole = Math.round(exponent);
  if (whole === 0) return '1';
  const digits = '⁰¹²³⁴⁵⁶⁷⁸⁹';
  return `${base}${whole < 0 ? '⁻' : ''}${[...String(Math.abs(whole))].map(digit => digits[Number(digit)]).join('')}`;
}

function histogramPlot({ kernel, variant, counts }: AuditReport['histograms'][number], scale: Scale): string {
  const total = counts.reduce((a, b) => a + b, 0);
  const names = BINS.map(end =>
    end === 0 ? 'exact' : end === Number.POSITIVE_INFINITY ? '> 1' : power(2, Math.log2(end)),
  );
  const rows = counts.map((count, i) => ({ bin: names[i]!, share: count / total, count }));
  const ticks = names.filter((_, i) => scale === 'wide' || i % 2 === 0);
  const plot: Plot.PlotOptions = {
    width: widthAt(scale),
    height: 220,
    marginTop: 32,
    marginLeft: MARGIN_LEFT,
    marginBottom: bottomAt(scale),
    x: { domain: names, ticks, label: `${kernel}, ${variant}`, labelAnchor: 'center' },
    y: { label: 'share of elements, %', grid: true, percent: true },
    marks: [
      Plot.barY(rows, {
        x: 'bin',
        y: 'share',
        fill: colorOf(0),
        title: ({ count }: { count: number }) => `${count} elements`,
      }),
      Plot.ruleY([0]),
    ],
  };
  return svgOf(plot, scale);
}
