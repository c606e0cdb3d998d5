import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../src/hash.js';
import { pageOfStudy } from '../../src/report/study-page.js';
import { parseFit } from '../../src/scaling/saved-fit.js';
import { fitStudy, type LanguageFits } from '../../src/study/fits.js';
import { pointsCsv, studyPoints } from '../../src/study/points.js';
import { parseStudyPoints } from '../../src/study/read-points.js';
import {
  studyFigures,
  studyPage,
  targetsOfPoints,
  viewOfPoints,
  viewOfStudy,
  writeStudyReport,
} from '../../src/study/report.js';
import { replaceReport } from '../../src/study/report-files.js';
import { readStudy, type Study, writeFailure } from '../../src/study/state.js';
import { makeRun, makeStudy } from '../support/study.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-study-report-'));
afterAll(() => rmSync(root, { recursive: true }));

const REPLICATES = 4;
const fitsOf = (study: Study) => fitStudy(studyPoints(study), study.targets, REPLICATES);

describe('a study that is done', () => {
  let study: Study;
  let fits: LanguageFits[];
  let page: string;
  beforeAll(async () => {
    const plan = makeStudy(join(root, 'done'), { languages: ['fr', 'ru'], seeds: [0, 1], ratios: [0.05, 0.3] });
    for (const run of plan.runs) makeRun(plan, run);
    study = await readStudy(plan.folder);
    fits = fitsOf(study);
    page = studyPage(study, fits);
  });

  test('the page stands alone, and has a figure of every kind for every language', () => {
    expect(page.replaceAll(/xmlns(:\w+)?="[^"]*"/g, '')).not.toMatch(/https?:|src=|href="[^#]/);
    expect(page).not.toMatch(/NaN|Infinity|undefined|Waits for/);
    const names = studyFigures(study, fits).map(({ name }) => name);
    const kinds = ['loss-compute', 'flops-saved', 'transferred', 'equal-loss', 'forgetting', 'forgetting-by-share'];
    const replay = ['extra', 'budget'].flatMap(account => ['target', 'source'].map(side => [account, side]));
    const expected = ['fr', 'ru'].flatMap(language => [
      ...kinds.map(kind => `${kind}-${language}`),
      ...replay.map(([account, side]) => `replay-${language}-0.8M-${account}-${side}`),
    ]);
    expect(names.sort()).toEqual(
      [...expected, 'transfer-by-language', 'gain-by-language', 'forgetting-by-size'].sort(),
    );
    // each of the seven findings shows a small one too, whose dots have no texts
    expect(page.match(/<svg/g)).toHaveLength(names.length + 7);
    expect(page.match(/<article class="card" data-verdict="[a-z ]+">/g)).toHaveLength(7);
  });

  test('every run is in the table, and every point of its kind in the figure', () => {
    for (const { name } of study.runs) expect(page).toContain(`<td>${name}</td><td>done</td><td>100%</td>`);
    const figure = studyFigures(study, fits).find(({ name }) => name === 'loss-compute-fr')!;
    // 4 sizes, scratch and CPT, 2 seeds, 10 evaluations after the start
    expect(figure.svg.match(/<title>/g)).toHaveLength(4 * 2 * 2 * 10);
    expect(figure.svg).toContain('<title>0.1M-scratch-fr-seed0\n120G FLOPs, 200k tokens\nfr loss ');
  });

  test('the spread over seeds is shown, and absent where there is one', () => {
    const bands = (shown: Study) =>
      studyFigures(shown, fits).filter(({ svg }) => svg.includes('fill-opacity="0.18"')).length;
    expect(bands(study)).toBeGreaterThan(10);
    expect(bands({ ...study, runs: study.runs.filter(({ seed }) => seed === 0) })).toBe(0);
  });

  test('what is written can be read back: points, fits, and the page from points alone', () => {
    const points = studyPoints(study);
    const out = join(root, 'report');
    const view = viewOfStudy(study, fits, points);
    const files = writeStudyReport(out, view, points);
    expect(readFileSync(files[0]!, 'utf8')).toBe(page);
    const csv = readFileSync(join(out, 'points.csv'), 'utf8');
    const read = parseStudyPoints(csv, 'points.csv');
    expect(read).toEqual(points);
    for (const name of ['fr-scratch', 'fr-cpt', 'ru-scratch', 'ru-cpt']) {
      const text = readFileSync(join(out, 'fits', `${name}.json`), 'utf8');
      expect(parseFit(text, name).samples).toHaveLength(REPLICATES);
      expect(JSON.parse(text).used.excluded).toEqual({ warmup: 0 });
    }
    const pictures = readdirSync(join(out, 'figures'));
    expect(pictures.filter(name => name.endsWith('.svg'))).toHaveLength(23);
    const png = readFileSync(join(out, 'figures', 'equal-loss-fr.png'));
    expect([...png.subarray(1, 4)]).toEqual([...Buffer.from('PNG')]);

    expect(targetsOfPoints(read)).toEqual(['fr', 'ru']);
    const alone = pageOfStudy(viewOfPoints('points', read, fits));
    expect(alone.match(/<svg/g)).toHaveLength(23 + 7);
    expect(alone).not.toContain('id="runs"');
  });

  test('a report takes the place of an earlier one, and leaves alone what no report made', () => {
    const points = studyPoints(study);
    const french: Study = { ...study, targets: ['fr'], runs: study.runs.filter(({ language }) => language !== 'ru') };
    const frenchPoints = studyPoints(french);
    const frenchView = viewOfStudy(french, fits.slice(0, 1), frenchPoints);
    const [fresh, again] = [join(root, 'fresh'), join(root, 'again')];
    const filesIn = (folder: string) => (readdirSync(folder, { recursive: true }) as string[]).sort();
    writeStudyReport(fresh, frenchView, frenchPoints);

    const kept = ['notes.txt', 'figures/equal-loss-de.svg', 'fits/de-scratch.json', 'figures/old/equal-loss-ru.svg'];
    mkdirSync(join(again, 'figures', 'old'), { recursive: true });
    mkdirSync(join(again, 'fits'));
    for (const name of kept) writeFileSync(join(again, name), 'mine');
    writeStudyReport(again, viewOfStudy(study, fits, points), points);
    const edited = 'figures/transferred-ru.svg';
    writeFileSync(join(again, edited), 'mine too');
    rmSync(join(again, 'figures', 'transferred-ru.png'));
    expect(filesIn(again)).toContain(join('figures', 'equal-loss-ru.png'));
    writeStudyReport(again, frenchView, frenchPoints);
    const expected = [...filesIn(fresh), ...[...kept, edited].map(name => join(name)), join('figures', 'old')];
    expect(filesIn(again)).toEqual(expected.sort());
    for (const name of kept) expect(readFileSync(join(again, name), 'utf8')).toBe('mine');
    expect(readFileSync(join(again, edited), 'utf8')).toBe('mine too');
  });
});

describe('a study with probes', () => {
  test('points and figures have their accuracies, of the own and of the source language', async () => {
    const plan = makeStudy(join(root, 'probed'), { sizes: [1e5, 2e5], ratios: [0.3] });
    for (const run of plan.runs) {
      makeRun(plan, run);
      const task = (accuracy: number) => ({ accuracy, loss: 3, firstLoss: 6, tokens: 1000, chance: 0.01 });
      const probe = (accuracy: number) => ({ copy: task(accuracy), induction: task(accuracy / 2) });
      const probes = { [run.language]: probe(0.8), ...(run.strategy === 'cpt' && { en: probe(0.4) }) };
      const line = { kind: 'probe', step: 200, tokens: run.config.tokens, flops: 1e9, probes };
      appendFileSync(join(plan.folder, 'runs', run.name, 'metrics.jsonl'), `${JSON.stringify(line)}\n`);
    }
    const study = await readStudy(plan.folder);
    const points = studyPoints(study);
    const last = (name: string) => points.filter(({ run }) => run === name).at(-1)!;
    expect(last('0.1M-scratch-fr')).toMatchObject({ copy: 0.8, induction: 0.4 });
    expect(last('0.1M-scratch-fr').sourceCopy).toBeUndefined();
    expect(last('0.1M-cpt-fr')).toMatchObject({ copy: 0.8, induction: 0.4, sourceCopy: 0.4, sourceInduction: 0.2 });
    expect(points.filter(({ copy }) => copy !== undefined)).toHaveLength(plan.runs.length);
    expect(parseStudyPoints(pointsCsv(points), 'points.csv')).toEqual(points);
    const figures = studyFigures(study, []).filter(({ name }) => name.startsWith('probe-'));
    expect(figures.map(({ name }) => name)).toEqual(
      ['copy', 'induction', 'sourceCopy', 'sourceInduction'].map(field => `probe-fr-${field}`),
    );
    // two sizes, from scratch, CPT, and CPT with replay in two accounts of one size
    expect(figures[0]!.svg.match(/<title>/g)).toHaveLength(2 + 2 + 2);
    expect(figures[2]!.svg.match(/<title>/g)).toHaveLength(2 + 2);
    expect(figures[2]!.svg).toContain('CPT, 30% replay');
    expect(studyPage(study, [])).toContain('In context: copying and induction');
  });
});

describe('the record of what a report wrote', () => {
  test.each([
    ['is no JSON', '{'],
    ['names a file outside', JSON.stringify({ '../outside.svg': sha256('mine'), 'figures/a.svg': sha256('mine') })],
    ['names one beside the page', JSON.stringify({ 'a.svg': sha256('mine') })],
    ['has other contents', JSON.stringify({ 'figures/a.svg': sha256('theirs') })],
  ])('that %s removes nothing', (name, record) => {
    const folder = join(root, 'records', name);
    mkdirSync(join(folder, 'figures'), { recursive: true });
    const files = ['../outside.svg', 'a.svg', 'figures/a.svg'].map(file => join(folder, file));
    for (const file of files) writeFileSync(file, 'mine');
    writeFileSync(join(folder, 'written.json'), record);
    replaceReport(folder, { 'report.html': 'page', 'fits/b.json': '{}' });
    for (const file of files) expect(existsSync(file), file).toBe(true);
    replaceReport(folder, { 'report.html': 'page' });
    expect(readdirSync(join(folder, 'fits'))).toEqual([]);
  });
});

describe('a study on its way', () => {
  test('with no run, each part says what it waits for', async () => {
    const study = await readStudy(makeStudy(join(root, 'empty')).folder);
    const page = studyPage(study, fitsOf(study));
    expect(page).not.toContain('<svg');
    expect(page.match(/<p class="note">Waits for/g)).toHaveLength(5);
    expect(page.match(/<article class="card" data-verdict="open">/g)).toHaveLength(7);
    expect(page).toContain('The study asks for no replay.');
    expect(page).toContain('12 runs: 8 pending, 4 waiting.');
    expect(page).toContain('the law of scratch is missing: no run of this kind has points yet');
  });

  test('with some runs, what there is is shown, and why a run failed', async () => {
    const plan = makeStudy(join(root, 'part'), { ratios: [0.1] });
    const [source, scratch, cpt, other] = plan.runs;
    makeRun(plan, source!);
    makeRun(plan, scratch!, 0.7);
    makeRun(plan, cpt!, 0);
    writeFailure(plan.folder, other!.name, 'the adapter <b>was lost</b>');
    const study = await readStudy(plan.folder);
    const page = studyPage(study, fitsOf(study));
    expect(page).toContain(' failed: the adapter &#60;b&#62;was lost&#60;/b&#62;');
    expect(studyFigures(study, fitsOf(study)).map(({ name }) => name)).toEqual(['loss-compute-fr']);
    expect(page).toContain('all points have 100000 parameters, and the law needs three sizes');
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
  });
});

test('a study of two sizes has numbers throughout, and says what its laws lack', async () => {
  const plan = makeStudy(join(root, 'two'), { sizes: [1e5, 3e5] });
  for (const run of plan.runs) makeRun(plan, run);
  const study = await readStudy(plan.folder);
  const fits = fitsOf(study);
  const page = studyPage(study, fits);
  expect(page).not.toMatch(/NaN|Infinity|undefined/);
  expect(page).toMatch(/<td>α<\/td><td>open<\/td>/);
  expect(page).toContain('the law of scratch: too few sizes (2): E, A and alpha need at least 3');
  expect(page).toContain('The points do not determine the law of scratch and cpt');
  const { scratch } = fits[0]!;
  expect('fit' in scratch && JSON.stringify(scratch.fit)).not.toContain('null');
});

describe('points that are not a study’s', () => {
  const points = async () => {
    const plan = makeStudy(join(root, 'points'));
    for (const run of plan.runs.slice(0, 3)) makeRun(plan, run);
    return pointsCsv(studyPoints(await readStudy(plan.folder)));
  };

  test('a bad cell is named with its row', async () => {
    const csv = await points();
    expect(() => parseStudyPoints(csv.replace(',scratch,', ',scratches,'), 'p.csv')).toThrow(
      /'p.csv' row 11 is not a point of a study: strategy/,
    );
    expect(() => parseStudyPoints('parameters,tokens,loss\n1,2,3\n', 'p.csv')).toThrow(/has no column 'seed'/);
  });
});
