/** What a live page adds to a report: the state of its connection, and the exchange of sections that have changed. */
import { createHash } from 'node:crypto';
import { contentsHtml, htmlPage, type Section, sectionHtml, sectionsHtml } from './html.js';
import { TOOLTIP } from './tooltip.js';

/** A page as it is now. */
export interface LivePage {
  readonly title: string;
  readonly sections: readonly Section[];
}

/**
 * The message that is sent when a page has changed: the order of its sections, and the content of those that are new.
 */
export interface Update {
  readonly ids: readonly string[];
  readonly changed: Readonly<Record<string, string>>;
}

/** Returns the update from one state of a page to another; without an earlier state, the whole page. */
export function updateOf(now: LivePage, before?: LivePage): Update {
  const known = new Map(before?.sections.map(section => [section.id, sectionHtml(section)]));
  const changed = now.sections.filter(section => known.get(section.id) !== sectionHtml(section));
  return {
    ids: now.sections.map(({ id }) => id),
    changed: Object.fromEntries(changed.map(section => [section.id, sectionHtml(section)])),
  };
}

export const livePageHtml = ({ title, sections }: LivePage): string =>
  htmlPage(
    title,
    `<p id="live">connecting</p>\n${contentsHtml(sections)}\n<main>${sectionsHtml(sections)}</main>`,
    SCRIPT,
  );

/** The script runs in a browser; nothing of it is compiled. */
const LIVE = `
const live = document.getElementById('live');
const main = document.querySelector('main');
const nav = document.querySelector('nav');
// links are exchanged only when sections come, go or change their titles: one of them may be in focus
function listContents() {
  const titled = [...main.children].filter(section => section.querySelector('h2'));
  const titles = titled.map(section => section.querySelector('h2').textContent);
  if (titles.join('\\n') === [...nav.children].map(link => link.textContent).join('\\n')) return;
  nav.replaceChildren(...titled.flatMap((section, i) => {
    const link = document.createElement('a');
    link.href = '#' + section.id;
    link.textContent = titles[i];
    return [link, '\\n'];
  }));
}
let updated = 'now';
const say = (state, text) => { live.dataset.state = state; live.textContent = text; };
const clock = () => new Date().toLocaleTimeString();
const events = new EventSource('/events');
events.onopen = () => say('live', 'live · last update ' + updated);
events.onerror = () => say('lost', 'connection lost, trying again · last update ' + updated);
events.addEventListener('problem', event => say('problem', JSON.parse(event.data) + ' · last update ' + updated));
events.addEventListener('calm', () => say('live', 'live · last update ' + updated));
events.addEventListener('update', event => {
  const { ids, changed } = JSON.parse(event.data);
  // what is at the top of the window stays there, however much the sections above it grow
  // a section of which only a fraction of a pixel shows is not at the top
  const top = [...main.children].find(section => section.getBoundingClientRect().bottom > 1);
  const before = top && top.getBoundingClientRect().top;
  for (const section of [...main.children]) if (!ids.includes(section.id)) section.remove();
  ids.forEach((id, i) => {
    let section = document.getElementById(id);
    if (!section) {
      section = document.createElement('section');
      section.id = id;
    }
    if (main.children[i] !== section) main.insertBefore(section, main.children[i] || null);
    if (!(id in changed)) return;
    const offsets = [...section.querySelectorAll('.scroll')].map(table => table.scrollLeft);
    const chosen = [...section.querySelectorAll('input:checked')].map(button => button.id);
    section.innerHTML = changed[id];
    for (const button of section.querySelectorAll('input')) if (chosen.includes(button.id)) button.checked = true;
    section.querySelectorAll('.scroll').forEach((table, j) => { table.scrollLeft = offsets[j] || 0; });
  });
  listContents();
  if (top && top.isConnected && scrollY > 0) scrollBy(0, top.getBoundingClientRect().top - before);
  updated = clock();
  say('live', 'live · last update ' + updated);
});
`;

const SCRIPT = `${TOOLTIP}${LIVE}`;

/**
 * The policy that a live page is sent with: its one script, by its hash, and its styles; it is in no frame, and speaks
 * to its own server alone. Figures and tables have styles at their elements, which have no hashes.
 */
export const LIVE_POLICY = [
  "default-src 'none'",
  "style-src 'unsafe-inline'",
  `script-src 'sha256-${createHash('sha256').update(SCRIPT).digest('base64')}'`,
  "connect-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');
