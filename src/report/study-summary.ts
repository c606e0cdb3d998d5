/** The first screen of a study's page: how far it is, and each finding with its verdict, numbers and a small figure. */
import type { Figure } from './figure.js';
import { escapeHtml } from './html.js';
import { studyFindings } from './study-findings.js';
import { hasLora } from './study-lora.js';
import type { Finding, Verdict } from './study-verdicts.js';
import type { StudyView } from './study-view.js';

/** Signs beside the words, for whoever cannot tell the colours. */
const SIGNS: Readonly<Record<Verdict, string>> = {
  reproduced: '✓',
  'in part': '◐',
  'not reproduced': '✗',
  open: '?',
};

/** Returns the section's HTML; `figures` are those of the page, of which findings show small copies. */
export function summaryHtml(
  view: StudyView,
  figures: readonly Figure[],
  findings: readonly Finding[] = studyFindings(view),
): string {
  const progress = progressOf(view);
  const biderman = hasLora(view) ? ' That of LoRA is of Biderman et al. (2024, arXiv 2405.09673).' : '';
  const dots = view.areEnds ? 'Every dot is an end of a run, after which the learning rate had been annealed.\n' : '';
  return `${progress === undefined ? '' : `<p class="finding">${escapeHtml(progress)}</p>\n`}<div class="cards">
${findings.map((finding, i) => card(finding, i + 1, figures)).join('\n')}
</div>
<p class="note">The claims are those of Zheng et al. (2024, arXiv 2407.02118); of the languages the study names the
nearest first. In brackets are the middle 95% over resampled runs: a part of a claim holds, or does not, where its whole
interval says so. A claim is reproduced when all its parts hold in all languages.${biderman}</p>
<p class="note">Loss is the mean over held-out tokens, in nats per token.
FLOPs are 6·N·tokens, N the parameters that every token is multiplied by; a source model's own training is not in them.
${dots}Where there are several seeds, lines are means and bands reach from the least to the most.
Point at a dot for its run.</p>`;
}

function card({ section, figure, claim, verdict, says }: Finding, number: number, figures: readonly Figure[]): string {
  const shown = figures.find(({ name }) => figure !== undefined && name.startsWith(figure));
  const small = shown ? `<a class="thumb" href="#${section}">${thumbnail(shown)}</a>` : '';
  return `<article class="card" data-verdict="${verdict}">
<h3><a href="#${section}">${number}. ${escapeHtml(claim)}</a></h3>
<p class="verdict">${SIGNS[verdict]} ${verdict}</p>
${small}
${says.map(text => `<p>${escapeHtml(text)}</p>`).join('\n')}
</article>`;
}

/** Returns a figure by the name of its caption, without the texts of its dots, which the large one has. */
const thumbnail = ({ svg, caption }: Figure): string =>
  svg.replaceAll(/<title>[^<]*<\/title>/g, '').replace(/aria-label="[^"]*"/, `aria-label="${escapeHtml(caption)}"`);

/** Says how many runs are in which state; undefined where only points are known. */
function progressOf({ rows }: StudyView): string | undefined {
  if (rows.length === 0) return undefined;
  const states = [...new Set(rows.map(({ state }) => state))];
  const counts = states.map(state => `${rows.filter(row => row.state === state).length} ${state}`);
  return `${rows.length} runs: ${counts.join(', ')}.`;
}

/** Returns the same in sentences, for a terminal. */
export function summaryLines(view: StudyView, findings: readonly Finding[]): string[] {
  const progress = progressOf(view);
  const lines = findings.map(({ claim, verdict, says }, i) => `${i + 1}. ${claim}: ${verdict}. ${says.join(' ')}`);
  return [...(progress === undefined ? [] : [progress]), ...lines];
}
