/** The programs in docs/, and those in the docstrings, do what they say. */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { packageRoot } from '../src/files.js';
import { examples } from './support/examples.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-docs-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** What a program prints, on the adapter under test. */
async function run(program: string, cwd = packageRoot, args: readonly string[] = []): Promise<string> {
  return (
    await promisify(execFile)(process.execPath, [program, ...args], { cwd, env: { ...process.env, TMPDIR: root } })
  ).stdout;
}

test('docs/example.mjs learns to count', async () => {
  const printed = await run('docs/example.mjs');
  const [, before, after] = /loss before: ([\d.]+).*loss after 50 steps: ([\d.]+)/s.exec(printed)!.map(Number);
  expect(before).toBeGreaterThan(4);
  expect(after).toBeLessThan(0.1);
  expect(printed).toMatch(/after 36 comes 37; saved in /);
});

test("docs/own-op.mjs finds its op's gradient in central differences", async () => {
  const [, distance] = /within ([\d.e+-]+) of central differences/.exec(await run('docs/own-op.mjs'))!.map(Number);
  // rounding of y, a few times 2^-22 below 8, over the 2^-5 between both points; h²/6·|y'''| adds 1e-5
  expect(distance).toBeGreaterThan(0);
  expect(distance).toBeLessThan(1e-4);
});

test("docs/own-loss.mjs finds a loss's gradients in central differences", async () => {
  const printed = await run('docs/own-loss.mjs');
  const [, most, distance] = /up to ([\d.]+), are within ([\d.e+-]+) of/.exec(printed)!.map(Number);
  // rounding of a loss of 4, some times 2^-22, over the 2^-7 between both points
  expect(distance).toBeGreaterThan(0);
  expect(distance).toBeLessThan(1e-3);
  expect(most).toBeGreaterThan(0.1);
});

test('docs/models.md says which public models train where as a dry run does', async () => {
  for (const kept of ['f32', 'two-bytes', 'offload', 'lora']) {
    const table = (await run('tools/what-fits.mjs', packageRoot, [kept])).trim();
    expect(table.split('\n')).toHaveLength(15);
    expect(readFileSync(join(packageRoot, 'docs/models.md'), 'utf8')).toContain(table);
  }
}, 300_000);

/** Run first, in this order: what they write is what the others read. */
const FIRST = ['trainTokenizer', 'tokenizeFiles', 'startRun', 'Trainer'];

const STUDY = `
name: s
out: runs/study
languages: { en: data/en, fr: data/fr }
source: en
strategies: [source]
sizes: [{ name: tiny, preset: tiny }]
train: { tokens: 1024, batchTokens: 512, deterministic: true }
`;

test('every example in a docstring runs', async () => {
  mkdirSync(join(root, 'node_modules'));
  symlinkSync(packageRoot, join(root, 'node_modules', 'babelgrad'));
  cpSync(join(packageRoot, 'src/demo/text'), join(root, 'text'), { recursive: true });
  for (const name of ['scratch.csv', 'cpt.csv']) cpSync(join(packageRoot, 'docs/scaling', name), join(root, name));
  writeFileSync(join(root, 'study.yaml'), STUDY);
  const found = examples();
  const rank = (name: string) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  const ordered = [...found].sort((a, b) => rank(a.name) - rank(b.name));
  for (const { name, code } of ordered) writeFileSync(join(root, `${name}.mjs`), code);
  const imports = ordered.map(({ name }) => `console.log('== ${name}');\nawait import('./${name}.mjs');\n`);
  writeFileSync(join(root, 'all.mjs'), `${imports.join('')}process.exit(0);\n`); // some leave their device open
  const printed = await run('all.mjs', root);
  for (const { name } of found) expect(printed).toContain(`== ${name}\n`);
}, 400_000); // some train, one after the other
