/** The report: one self-contained HTML page. */

import { findingsOf, milestones, replayFindings, startOfForgetting } from './findings.js';
import { compareReplay, type Forgetting, knownForgetting } from './forgetting.js';
import {
  atScales,
  contentsHtml,
  escapeHtml,
  figure,
  footerHtml,
  htmlPage,
  key,
  type Section,
  scrolled,
  sectionsHtml,
  switched,
  table,
} from './html.js';
import { percent, short, signed } from './numbers.js';
import { forgettingPlot, heldOutPlot, probePlot, replayPlot, stepPlot } from './plots.js';
import { PROBE_TASKS, probedLanguages } from './probes.js';
import {
  compareRuns,
  isOneSize,
  type LossUnit,
  languagesOf,
  lossIn,
  type RunRecord,
  SHORT_UNITS,
  targetOf,
  unitOf,
  withAverages,
} from './runs.js';
import { TOOLTIP } from './tooltip.js';

/**
 * Returns the page of several runs, overlaid. `sourceLanguage` is that of CPT runs whose source run cannot be found;
 * `made` says when and by what the page was made, and stands at its end.
 */
export function reportPage(runs: readonly RunRecord[], title: string, sourceLanguage?: string, made?: string): string {
  const sections = reportSections(runs, sourceLanguage);
  return htmlPage(title, `${contentsHtml(sections)}\n${sectionsHtml(sections)}${footerHtml(made)}`, TOOLTIP);
}

export function reportSections(runs: readonly RunRecord[], sourceLanguage?: string): Section[] {
  const comparisons = compareRuns(runs);
  const unit = unitOf(runs);
  const evaluated = runs.filter(run => run.evaluations.length > 0);
  const shown = withAverages(evaluated);
  const forgotten = knownForgetting(runs, sourceLanguage);
  const stepped = runs.filter(run => run.steps.length > 0);
  const heldOut = languagesOf(runs).flatMap((language, i) => {
    const [tokens, flops] = (['tokens', 'flops'] as const).map(axis =>
      atScales(scale => heldOutPlot(shown, language, axis, scale), namesOf(shown)),
    );
    // FLOPs are as many times the tokens in all runs of one size
    return isOneSize(runs) ? [switched(`axis-${i}`, { tokens, FLOPs: flops })] : [figure(tokens!), figure(flops!)];
  });
  const probed = probedLanguages(runs).flatMap(language =>
    PROBE_TASKS.map(task => figure(atScales(scale => probePlot(runs, language, task, scale), namesOf(runs)))),
  );
  // the bytes of the training loss are not known
  const quantities = (['loss', 'gradientNorm', 'learningRate', 'tokensPerSecond'] as const).filter(
    quantity => unit === 'nats per token' || quantity !== 'loss',
  );
  const steps = (quantity: (typeof quantities)[number]) =>
    figure(atScales(scale => stepPlot(stepped, quantity, scale), namesOf(stepped)));
  const training = stepped.length > 0 ? quantities.map(steps) : [];
  const withoutLoss =
    '<p class="note">The training loss is known per token alone, and the vocabularies differ: it is not drawn.</p>';
  const findings = findingsOf(runs).map(text => `<p class="finding">${escapeHtml(text)}</p>`);
  const why = unit === 'bits per byte' ? ', since vocabularies differ' : '';
  const plots = (drawn: readonly string[]) => `<div class="plots">${drawn.join('\n')}</div>`;
  return [
    {
      id: 'summary',
      html: `${findings.join('\n')}
<p class="note">Loss is the mean over held-out text, in ${unit}${why}.
FLOPs are 6·N·tokens, N the parameters that every token is multiplied by; a source model's own training is not in them.
Point at a dot for its numbers.</p>`,
    },
    { id: 'held-out', title: `Held-out loss, in ${unit}`, html: plots(heldOut) },
    ...(comparisons.length > 0
      ? [
          {
            id: 'savings',
            title: 'Saved at equal loss',
            html: scrolled(savingsTable(comparisons, unit), 'Saved at equal loss'),
          },
        ]
      : []),
    ...(forgotten.length > 0
      ? [{ id: 'forgetting', title: 'Forgetting', html: forgettingSection(forgotten, evaluated, unit) }]
      : []),
    ...(probed.length > 0 ? [{ id: 'probes', title: 'In context: copying and induction', html: plots(probed) }] : []),
    { id: 'losses', title: 'Held-out loss along the way', html: lossSection(withAverages(runs)) },
    {
      id: 'training',
      title: 'Training',
      html: unit === 'nats per token' ? plots(training) : `${withoutLoss}\n${plots(training)}`,
    },
    { id: 'runs', title: 'Runs', html: scrolled(runsTable(runs), 'Runs') },
  ];
}

const namesOf = (runs: readonly RunRecord[]): string[] => runs.map(({ config }) => config.name);

function savingsTable(comparisons: ReturnType<typeof compareRuns>, unit: LossUnit): string {
  const atLoss = `at loss (${SHORT_UNITS[unit]})`;
  const head = ['runs', 'language', atLoss, 'scratch tokens', 'CPT tokens', 'tokens saved', 'FLOPs saved'];
  const rows = comparisons.map(({ scratch, cpt, language, savings }) => [
    escapeHtml(`${cpt.config.name} against ${scratch.config.name}`),
    escapeHtml(language),
    savings.loss.toFixed(3),
    short(savings.scratch.tokens),
    savings.cpt ? short(savings.cpt.tokens) : 'not reached',
    savings.savedTokens === undefined ? '–' : percent(savings.savedTokens),
    savings.savedFlops === undefined ? '–' : percent(savings.savedFlops),
  ]);
  return table(head, rows);
}

function forgettingSection(forgotten: readonly Forgetting[], runs: readonly RunRecord[], unit: LossUnit): string {
  const names = namesOf(runs);
  const comparisons = compareReplay(forgotten);
  const figures = [
    atScales(scale => forgettingPlot(forgotten, names, scale), names),
    ...comparisons.map(comparison => atScales(scale => replayPlot(comparison, scale))),
  ];
  const head = [
    'run',
    'from',
    'into',
    'replay',
    `source loss (${SHORT_UNITS[unit]})`,
    'at the end',
    'change',
    'largest change',
    'after tokens',
  ];
  const rows = forgotten.map(({ run, source, target, replay, sourceCurve, backwardTransfer, worst }) => [
    escapeHtml(run.config.name),
    escapeHtml(source),
    escapeHtml(target),
    percent(replay),
    sourceCurve[0]!.loss.toFixed(4),
    sourceCurve.at(-1)!.loss.toFixed(4),
    signed(backwardTransfer),
    signed(worst.change),
    short(worst.tokens),
  ]);
  return `<div class="plots">${figures.map(figure).join('\n')}</div>
${scrolled(table(head, rows), 'Forgetting')}
<p class="note">${escapeHtml(startOfForgetting(forgotten))}</p>
${comparisons
  .flatMap(replayFindings)
  .map(text => `<p>${escapeHtml(text)}</p>`)
  .join('\n')}`;
}

/** The most evaluations of a run that the table shows. */
const MOST_ROWS = 11;

function lossSection(runs: readonly RunRecord[]): string {
  const isWhole = runs.every(({ evaluations }) => evaluations.length <= MOST_ROWS);
  const which =
    '<p class="note">The first evaluation of each run, the last, and evenly spread ones between them, ' +
    `${MOST_ROWS} at most; all are in the run's metrics.jsonl, and in the figures above.</p>`;
  return `${scrolled(lossTable(runs), 'Held-out loss along the way')}${isWhole ? '' : `\n${which}`}`;
}

function lossTable(runs: readonly RunRecord[]): string {
  const languages = languagesOf(runs);
  const unit = unitOf(runs);
  const rows = runs.flatMap((run, index) =>
    milestones(run, MOST_ROWS).map(({ tokens, flops, heldOut }) => [
      key(index, run.config.name),
      short(tokens),
      short(flops),
      ...languages.map(language => lossIn(heldOut, language, unit)?.toFixed(4) ?? ''),
    ]),
  );
  return table(['run', 'tokens', 'FLOPs', ...languages.map(language => `${language} (${SHORT_UNITS[unit]})`)], rows);
}

/** Shows a source's share of a run: the mean one where it changes. */
const showShare = ({ name, weight, stages }: RunRecord['config']['sources'][number], total: number): string =>
  `${name} ${percent(weight / total)}${stages === undefined ? '' : ' on average'}`;

function runsTable(runs: readonly RunRecord[]): string {
  const head = [
    'run',
    'method',
    'into',
    'parameters',
    'without embeddings',
    'mixture',
    'budget',
    'context',
    'batch',
    'schedule',
    'peak rate',
    'source model',
    'seed',
    'adapter',
  ];
  const rows = runs.map((run, index) => {
    const { config } = run;
    const total = config.sources.reduce((sum, { weight }) => sum + weight, 0);
    return [
      key(index, config.name),
      config.method,
      escapeHtml(targetOf(run)),
      short(config.parameters.total),
      short(config.parameters.withoutEmbeddings),
      escapeHtml(config.sources.map(source => showShare(source, total)).join(', ')),
      `${short(config.tokens)} tokens`,
      String(config.contextLength),
      `${short(config.batchTokens)} tokens`,
      escapeHtml(config.schedule.schedule),
      String(config.schedule.learningRate),
      config.source ? escapeHtml(`${config.source.name} (${short(config.source.tokens)} tokens)`) : '',
      String(config.seed),
      escapeHtml(config.kernels?.adapter ?? ''),
    ];
  });
  return table(head, rows);
}
