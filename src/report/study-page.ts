/** The page of a study: findings, figures and tables. While a part has nothing to show, it says what it waits for. */
import type { Figure } from './figure.js';
import { contentsHtml, escapeHtml, footerHtml, htmlPage, type Section, scrolled, sectionsHtml, table } from './html.js';
import { contourFigures } from './study-contours.js';
import { languageFigures, lossComputeFigures, transferFigures } from './study-figures.js';
import { studyFindings } from './study-findings.js';
import { hasLora, loraFigures, loraTable } from './study-lora.js';
import { probeFigures } from './study-probes.js';
import { forgettingFigures, replayFigures } from './study-source.js';
import { summaryHtml } from './study-summary.js';
import {
  failures,
  fitErrorTable,
  fitNotes,
  forgettingTable,
  heldOutTable,
  parameterTable,
  runsTable,
  savingsTable,
  sourceEndsTable,
  type TextTable,
} from './study-tables.js';
import type { Finding } from './study-verdicts.js';
import type { StudyView } from './study-view.js';
import { TOOLTIP } from './tooltip.js';

/** The figures of each part. */
export interface StudyFigures {
  readonly lossCompute: readonly Figure[];
  readonly transfer: readonly Figure[];
  readonly contours: readonly Figure[];
  readonly replay: readonly Figure[];
  readonly languages: readonly Figure[];
  readonly forgetting: readonly Figure[];
  readonly lora: readonly Figure[];
  readonly probes: readonly Figure[];
}

function drawFigures(view: StudyView): StudyFigures {
  return {
    lossCompute: lossComputeFigures(view),
    transfer: transferFigures(view),
    contours: contourFigures(view),
    replay: replayFigures(view),
    languages: languageFigures(view),
    forgetting: forgettingFigures(view),
    lora: loraFigures(view),
    probes: probeFigures(view),
  };
}

/** What takes time to make of a study: findings, with their intervals, and figures. */
export interface StudyParts {
  readonly findings: readonly Finding[];
  readonly figures: StudyFigures;
}

export const partsOf = (view: StudyView): StudyParts => ({
  findings: studyFindings(view),
  figures: drawFigures(view),
});

/** Returns the whole page; `made` says when and by what it was made, and stands at its end. */
export function pageOfStudy(view: StudyView, made?: string, parts = partsOf(view)): string {
  const [findings, ...details] = studySections(view, parts);
  const body = [sectionsHtml([findings!]), contentsHtml(details), sectionsHtml(details)].join('\n');
  return htmlPage(titleOfStudy(view), `${body}${footerHtml(made)}`, TOOLTIP);
}

export const titleOfStudy = ({ name }: StudyView): string => `Study: ${name}`;

export function studySections(view: StudyView, { findings, figures }: StudyParts): Section[] {
  const source = view.source ?? 'source';
  return [
    { id: 'summary', html: summaryHtml(view, Object.values(figures).flat(), findings) },
    {
      id: 'loss-compute',
      title: 'Loss against compute',
      html: part(figures.lossCompute, 'Waits for the first evaluation of a run from scratch or by CPT.'),
    },
    {
      id: 'transfer',
      title: 'What CPT saves along training',
      html: part(
        figures.transfer,
        'Waits for a run from scratch and a CPT run of one size, language and seed, with evaluations at equal loss.',
      ),
    },
    {
      id: 'languages',
      title: 'Transfer by language',
      html: part(
        figures.languages,
        'Waits for a run from scratch that is done, and for a CPT run that reaches its lowest loss.',
        savingsTable(view),
      ),
    },
    {
      id: 'equal-loss',
      title: 'Where to spend compute',
      html: part(
        figures.contours,
        'Waits for a fit of the runs from scratch, of at least two sizes, and three to be determined; ' +
          'see the fitted laws below.',
      ),
    },
    {
      id: 'replay',
      title: 'Replay',
      html: part(
        figures.replay,
        view.rows.length > 0 && !view.rows.some(({ replay }) => replay > 0)
          ? 'The study asks for no replay.'
          : 'Waits for the first evaluation of a CPT run with replay.',
      ),
    },
    {
      id: 'forgetting',
      title: `Forgetting: the ${source} loss over CPT`,
      html: part(
        figures.forgetting,
        'Waits for the first evaluation of a CPT run in the source language.',
        forgettingTable(view),
      ),
    },
    ...(hasLora(view)
      ? [
          {
            id: 'lora',
            title: 'LoRA: what it learns, and what it forgets',
            html: part(figures.lora, 'Waits for a LoRA run that is done.', loraTable(view)),
          },
        ]
      : []),
    ...(view.fromEarlier.length > 0
      ? [{ id: 'source-ends', title: 'How long the source was trained', html: sourceEndsPart(view) }]
      : []),
    ...(figures.probes.length > 0
      ? [{ id: 'probes', title: 'In context: copying and induction', html: part(figures.probes, '') }]
      : []),
    { id: 'fits', title: 'Fitted laws', html: fitsPart(view) },
    ...(view.rows.length > 0
      ? [{ id: 'runs', title: 'Runs', html: `${list(failures(view))}${scroll(runsTable(view))}` }]
      : []),
  ];
}

const waits = (text: string): string => `<p class="note">${escapeHtml(text)}</p>`;

function part(figures: readonly Figure[], waitsFor: string, text?: TextTable): string {
  const shown = figures.map(
    ({ svg, caption }) => `<figure>${svg}<figcaption>${escapeHtml(caption)}</figcaption></figure>`,
  );
  const plots = shown.length > 0 ? `<div class="plots">${shown.join('\n')}</div>` : waits(waitsFor);
  return text && text.rows.length > 0 ? `${plots}\n${scroll(text)}` : plots;
}

function sourceEndsPart(view: StudyView): string {
  const found = sourceEndsTable(view);
  return found.rows.length > 0 ? scroll(found) : waits('Waits for CPT from an earlier end of its source.');
}

const list = (items: readonly string[]): string =>
  items.length > 0 ? `<ul class="note">${items.map(item => `<li>${escapeHtml(item)}</li>`).join('')}</ul>` : '';

const scroll = ({ head, rows }: TextTable): string => {
  const cells = rows.map(row => row.map(escapeHtml));
  return scrolled(table(head, cells), `Table of ${head.join(', ')}`);
};

function fitsPart({ fits }: StudyView): string {
  const parts = fits.map(languageFits => {
    const { language, scratch, cpt, scratchCompute, cptCompute } = languageFits;
    const any = [scratch, cpt, scratchCompute, cptCompute].some(fitting => 'fit' in fitting);
    const errors = fitErrorTable(languageFits);
    const heldOut = heldOutTable(languageFits);
    return `<h3>${escapeHtml(language)}</h3>
${any ? scroll(parameterTable(languageFits)) : ''}
${errors.rows.length > 0 ? scroll(errors) : ''}
${heldOut.rows.length > 0 ? scroll(heldOut) : ''}
${list(fitNotes(languageFits))}`;
  });
  return `<p class="note">L(N, D) = E + A/N^α + B/(D^β·N^γ), N all parameters, D tokens;
γ is 0 from scratch, CPT keeps the E, A and α of scratch. Points after warm-up of runs without replay.
Intervals are the middle 95% of refits to resamples, and need not hold the estimate.
What is called open could have other values as well.
Held out are the largest size, or the last third of the tokens of every run: neither the laws nor, for CPT, the E, A and
α that they keep were fitted to it.</p>
${parts.join('\n')}`;
}
