/** LoRA as an arm of a study: its runs, beside the laws of scratch and CPT, and what the report says of it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { UserError } from '../../src/errors.js';
import { learningRateAt, type ScheduleSettings } from '../../src/optim/schedule.js';
import { contourFigures } from '../../src/report/study-contours.js';
import { loraEvidence, loraTable } from '../../src/report/study-lora.js';
import { startOrResumeClaimed } from '../../src/run/start.js';
import { resolveStudy } from '../../src/study/estimate.js';
import type { Execute } from '../../src/study/execute.js';
import { fitStudy } from '../../src/study/fits.js';
import { readStudyPlan } from '../../src/study/plan.js';
import { pointsCsv, studyPoints } from '../../src/study/points.js';
import { parseStudyPoints } from '../../src/study/read-points.js';
import { studyFigures, studyPage, viewOfPoints, viewOfStudy } from '../../src/study/report.js';
import { runStudy } from '../../src/study/run.js';
import { readPlan, readStudy } from '../../src/study/state.js';
import { useDevice } from '../support/gpu.js';
import { useSmallRuns } from '../support/small-runs.js';
import { makeRun, makeStudy } from '../support/study.js';

const made = mkdtempSync(join(tmpdir(), 'babelgrad-study-lora-'));
afterAll(() => rmSync(made, { recursive: true }));

const model = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 };
const study = {
  name: 'a study',
  out: join(made, 'out'),
  languages: { en: 'data/en', fr: 'data/fr' },
  source: 'en',
  sizes: [{ name: 's', ...model }],
  train: { tokens: 1000, contextLength: 16, learningRate: 1e-3 },
  lora: [{ ranks: [2, 8], learningRate: 1e-2 }],
};
const plan = (changes: Record<string, unknown> = {}) => {
  const path = join(made, 'study.yaml');
  writeFileSync(path, stringify({ ...study, ...changes }));
  return readStudyPlan(path);
};
const names = (changes: Record<string, unknown> = {}) => plan(changes).runs.map(({ name }) => name);

describe('the plan', () => {
  test('has a run of each rank, with what the CPT run has but adapters and a rate of its own', () => {
    expect(names()).toEqual(['s-source', 's-scratch-fr', 's-cpt-fr', 's-lora-fr-rank2', 's-lora-fr-rank8']);
    const { runs } = plan({ lora: [{ ranks: [4], alpha: 4, projections: ['q_proj'], learningRate: 2e-2 }] });
    const [cpt, lora] = runs.slice(2);
    const { lora: adapters, ...others } = lora!.config;
    expect(adapters).toEqual({ rank: 4, alpha: 4, targets: ['q_proj'] });
    const own = { name: 's-lora-fr-rank4', out: join(study.out, 'runs', 's-lora-fr-rank4'), learningRate: 2e-2 };
    expect(others).toEqual({ ...cpt!.config, ...own });
    expect(lora).toMatchObject({ strategy: 'lora', rank: 4, from: { run: 's-source' } });
  });

  test('entries hold for sizes, targets and seeds, and replay for the strategies that it names', () => {
    const lora = [{ ranks: [2], learningRate: 1e-2, seeds: [1] }];
    const replay = [{ ratios: [0.1], strategies: ['cpt', 'lora'] }];
    expect(names({ lora, replay, seeds: [0, 1] }).filter(name => name.includes('lora'))).toEqual([
      's-lora-fr-rank2-seed1',
      's-lora-fr-rank2-replay0.1-extra-seed1',
    ]);
    expect(names({ replay: [{ ratios: [0.1] }] }).filter(name => name.includes('replay'))).toEqual([
      's-cpt-fr-replay0.1-extra',
    ]);
    expect(names({ strategies: ['source', 'scratch'], lora: [] })).toEqual(['s-source', 's-scratch-fr']);
    const sizes = [{ name: 's', from: 'models/s' }];
    expect(plan({ strategies: ['lora'], sizes }).runs[0]!.from).toEqual({ folder: 'models/s' });
  });

  test('with ends each budget is a run from the source, at the rates of a trunk and its end', () => {
    const changes = { train: { contextLength: 16, warmup: 0.25 }, ends: { tokensPerParameter: [1, 2], anneal: 0.25 } };
    const { runs } = plan({ ...changes, lora: [{ ranks: [2], learningRate: 1e-2 }] });
    const lora = runs.filter(({ strategy }) => strategy === 'lora');
    expect(lora.map(({ name, from, part }) => [name, from, part?.line])).toEqual(
      [1, 2].map(end => [`s-lora-fr-rank2-end${end}`, { run: 's-source-end2' }, 's-lora-fr-rank2']),
    );
    expect(lora.map(({ config }) => config.tokensPerParameter)).toEqual([1, 2]);
    const of = (name: string) => runs.find(run => run.name === name)!.config;
    const rate = (name: string, step: number, steps: number) =>
      learningRateAt({ ...of(name), learningRate: 1 } as ScheduleSettings, step, steps);
    const [first, second, end] = [300, 300, 200]; // steps of the pieces of a trunk, and of the end after them
    for (let step = 1; step <= 800; step++) {
      const line =
        step <= first
          ? rate('s-cpt-fr-trunk1', step, first)
          : step <= first + second
            ? rate('s-cpt-fr-trunk2', step - first, second)
            : rate('s-cpt-fr-end2', step - first - second, end);
      expect(rate('s-lora-fr-rank2-end2', step, 800)).toBeCloseTo(line, 12);
    }
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['lora of all runs', { train: { lora: { rank: 2 } } }, /train: 'lora' would hold for every run, and one from scr/],
    ['lora of a size', { sizes: [{ name: 's', ...model, lora: { rank: 2 } }] }, /size 's': 'lora' would hold for eve/],
    ['the strategy alone', { strategies: ['source', 'lora'], lora: [] }, /the strategy 'lora' needs lora: entries/],
    ['entries alone', { strategies: ['source', 'cpt'] }, /lora needs the strategy 'lora'/],
    ['no learning rate', { lora: [{ ranks: [2] }] }, /'lora.0.learningRate'/],
    ['an unknown size', { lora: [{ ranks: [2], learningRate: 1, sizes: ['x'] }] }, /lora.sizes names the size 'x'/],
    ['no such projection', { lora: [{ ranks: [2], learningRate: 1, projections: ['q'] }] }, /'lora.0.projections.0'/],
    ['one rank twice', { lora: [...study.lora, ...study.lora] }, /two runs are named 's-lora-fr-rank2': entries of/],
    [
      'replay of a strategy that is left out',
      { lora: [], replay: [{ ratios: [0.1], strategies: ['lora'] }] },
      /replay needs the strategy 'lora'/,
    ],
    ['no source', { strategies: ['scratch', 'lora'] }, /size 's': the LoRA runs have no source/],
    [
      'too many',
      {
        lora: [{ ranks: Array.from({ length: 100 }, (_, i) => i + 1), learningRate: 1 }],
        replay: [{ ratios: Array.from({ length: 100 }, (_, i) => (i + 1) / 200), strategies: ['lora'] }],
      },
      /ranks and seeds multiply to 10203 runs/,
    ],
  ])('%s is refused', (_, changes, message) => {
    expect(() => plan(changes)).toThrow(UserError);
    expect(() => plan(changes)).toThrow(message);
  });
});

const context = useDevice();
const { root, data } = useSmallRuns(context);

test('a study that ran has points of adapters, counted from the source on', async () => {
  const batch = { contextLength: 32, batchTokens: 128, learningRate: 1e-2, evalTokens: 500, deterministic: true };
  const planned = plan({
    out: join(root, 'lora'),
    strategies: ['source', 'cpt', 'lora'],
    languages: { en: data('en'), fr: data('fr') },
    train: { ...batch, warmup: 0.25 },
    ends: { tokensPerParameter: [0.1, 0.2] },
    lora: [{ ranks: [2], learningRate: 3e-2 }],
  });
  expect(resolveStudy(planned).get('s-lora-fr-rank2-end0.2')!.lora).toMatchObject({ rank: 2, alpha: 4 });
  const averaged = planned.runs.map(run => ({ ...run, config: { ...run.config, emaDecay: 0.9 } }));
  const refused = () => resolveStudy({ ...planned, runs: averaged });
  expect(refused).toThrow(UserError);
  expect(refused).toThrow(/^run 's-lora-fr-rank2-end0.1': lora does not go with emaDecay/);
  const execute: Execute = ({ folder, config, from }, { signal }) =>
    startOrResumeClaimed({ ...config, out: folder }, { from, signal, device: context.device });
  expect(await runStudy(planned, { execute })).toMatchObject({ status: 'done', failed: [], blocked: [] });
  expect(readPlan(planned.folder)).toEqual(planned);

  const points = studyPoints(await readStudy(planned.folder));
  expect(parseStudyPoints(pointsCsv(points), 'points.csv')).toEqual(points);
  const [lora, cpt] = ['lora', 'cpt'].map(strategy => points.filter(point => point.strategy === strategy));
  const ends = lora!.filter(({ annealed }) => annealed);
  expect(ends.map(({ run, rank, replay }) => [run, rank, replay])).toEqual([0, 1].map(() => ['s-lora-fr-rank2', 2, 0]));
  for (const [i, { tokens, sourceLoss, sourceTokensPerParameter }] of ends.entries()) {
    expect(Math.abs(tokens / ends[0]!.parameters - [0.1, 0.2][i]!)).toBeLessThan(64 / ends[0]!.parameters);
    expect(sourceLoss).toBeGreaterThan(0);
    expect(sourceTokensPerParameter).toBe(cpt![0]!.sourceTokensPerParameter);
  }
  const view = viewOfPoints('lora', points, []);
  expect(view.curves.at(-1)).toMatchObject({ strategy: 'lora', rank: 2, sourceLossBefore: expect.any(Number) });
});

describe('the report', () => {
  const files = makeStudy(join(made, 'synthetic'), { sizes: [1e5, 2e5], seeds: [0, 1], ratios: [0.3], ranks: [4, 16] });

  test('waits for the first run of adapters', async () => {
    const page = studyPage(await readStudy(files.folder), []);
    expect(page).toContain('Waits for a LoRA run that is done.');
    expect(page.match(/<article class="card" data-verdict="open">/g)).toHaveLength(8);
  });

  test('has a finding, a figure for each size, a table, and laws that are those without', async () => {
    for (const run of files.runs) makeRun(files, run);
    const whole = await readStudy(files.folder);
    const points = studyPoints(whole);
    const fits = fitStudy(points, ['fr'], 4);
    const view = viewOfStudy(whole, fits, points);
    const found = loraEvidence(view, 'fr');
    expect(found.map(({ rank, above, kept }) => [rank, above.count, kept.count])).toEqual([
      [4, 4, 4],
      [16, 4, 4],
    ]);
    for (const { above, kept } of found) {
      expect(above.interval![0]).toBeGreaterThan(0);
      expect(kept.interval![0]).toBeGreaterThan(0);
    }
    const page = studyPage(whole, fits);
    expect(page).toMatch(/data-verdict="reproduced">\n<h3><a href="#lora">8\. LoRA learns less/);
    expect(page).toContain('arXiv 2405.09673');
    expect(page).not.toMatch(/NaN|Infinity|undefined|Waits for a LoRA/);
    const figures = studyFigures(whole, fits).filter(({ name }) => name.startsWith('lora-'));
    expect(figures.map(({ name }) => name)).toEqual(['lora-fr-0.1M', 'lora-fr-0.2M']);
    // CPT and two ranks, two seeds; the largest size has two accounts of replay, too
    expect(figures.map(({ svg }) => svg.match(/<title>/g)!.length)).toEqual([6, 10]);
    const { rows } = loraTable(view);
    expect(rows).toHaveLength(8 + 12);
    expect(rows.filter(([, size, run, seed]) => size === '0.1M' && run === 'LoRA, rank 4' && seed === '0')).toEqual([
      ['fr', '0.1M', 'LoRA, rank 4', '0', expect.any(String), expect.stringMatching(/^\+/), expect.any(String)],
    ]);
    expect(readFileSync(join(files.folder, 'study.json'), 'utf8')).toContain('"rank": 16');
    const without = points.filter(({ strategy }) => strategy !== 'lora');
    expect(fits).toEqual(fitStudy(without, ['fr'], 4));
    const contours = (points: typeof without) => contourFigures(viewOfPoints('points', points, fits));
    expect(contours(points)).toEqual(contours(without));
    expect(viewOfPoints('points', without, fits).curves.length).toBeLessThan(view.curves.length);
  });
});
