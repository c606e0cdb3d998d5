// Makes the documentation's site: README, docs and the reference of the TypeScript interface as pages with a search,
// and llms.txt (https://llmstxt.org), which names them for programs, with the pages as they were written.
//
//   node tools/site.mjs [OUT]     into site/, or OUT; a site that is there is replaced
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Application, Converter, ReflectionKind, TSConfigReader, TypeDocReader } from 'typedoc';
import { pages, readLinks } from './docs/links.mjs';

const root = resolve(import.meta.dirname, '..');
const out = resolve(process.argv[2] ?? join(root, 'site'));
if (existsSync(out) && readdirSync(out).length > 0 && !existsSync(join(out, 'llms.txt'))) {
  console.error(`'${out}' holds something, and no site; name another folder`);
  process.exit(2);
}
const textOf = page => readFileSync(join(root, page), 'utf8');
const headingIn = text => /^# (.*)$/m.exec(text)?.[1];
const titleOf = page => headingIn(textOf(page)) ?? page;

/** Returns what a page begins with, without its links: a sentence, or two where the first is short. */
function summaryOf(page) {
  const [paragraph = ''] = /^(?![#<|!\s-])(?:[^\n]+\n)+/m.exec(textOf(page).replace(/^```.*?^```$/gms, '')) ?? [];
  const text = paragraph
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll(/\s+/g, ' ')
    .trim();
  return /^.{40,}?[.?](?= |$)/.exec(text)?.[0] ?? text;
}

const line = page => `- [${titleOf(page)}](${page}): ${summaryOf(page)}\n`;
const LLMS = `# babelgrad

> ${summaryOf('README.md')}

It is a command line (\`npx babelgrad\`) and a library for Node.js. Runs, evaluations, studies, scaling laws and audits
are commands; each takes \`--help\` and \`--json\`.

## Docs

${pages(root)
  .filter(page => page === 'README.md' || page.startsWith('docs/'))
  .map(line)
  .join('')}
## Optional

- [Reference of the TypeScript interface](modules/Reference.html): every export, with shapes, errors and examples
${pages(root)
  .filter(page => page !== 'README.md' && !page.startsWith('docs/'))
  .map(line)
  .join('')}`;

const app = await Application.bootstrap(
  {
    options: join(root, 'typedoc.json'),
    readme: join(root, 'README.md'),
    projectDocuments: pages(root)
      .slice(1)
      .map(page => join(root, page)),
    customCss: join(root, 'tools/docs/site.css'),
    searchInComments: true,
    searchInDocuments: true,
    includeHierarchySummary: false,
    hideGenerator: true,
    out,
  },
  [new TypeDocReader(), new TSConfigReader()],
);
// a page is called by its heading, not by its file
app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_, document) => {
  document.name = headingIn(document.content[0]?.text ?? '') ?? document.name;
});
const project = await app.convert();
if (project) {
  project.getChildrenByKind(ReflectionKind.Module)[0].name = 'Reference';
  rmSync(out, { recursive: true, force: true });
  await app.generateDocs(project, out);
}
if (!project || app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1);

const files = new Set(pages(root).flatMap(page => [page, ...readLinks(root, page).map(({ file }) => file)]));
for (const file of files) {
  mkdirSync(dirname(join(out, file)), { recursive: true });
  cpSync(join(root, file), join(out, file));
}
writeFileSync(join(out, 'llms.txt'), LLMS);
console.log(`${join(out, 'index.html')}`);
