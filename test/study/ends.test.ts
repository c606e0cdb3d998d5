/** Lines of runs: a trunk at a constant rate in pieces, with an annealed end after each. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { UserError } from '../../src/errors.js';
import { pageOfStudy } from '../../src/report/study-page.js';
import { startOrResumeClaimed } from '../../src/run/start.js';
import { resolveStudy } from '../../src/study/estimate.js';
import type { Execute } from '../../src/study/execute.js';
import { fitStudy } from '../../src/study/fits.js';
import { readStudyPlan } from '../../src/study/plan.js';
import { runFolder } from '../../src/study/planned-run.js';
import { haveEnds, pointsCsv, studyPoints } from '../../src/study/points.js';
import { parseStudyPoints } from '../../src/study/read-points.js';
import { viewOfPoints } from '../../src/study/report.js';
import { runStudy } from '../../src/study/run.js';
import { readPlan, readStudy } from '../../src/study/state.js';
import { useDevice } from '../support/gpu.js';
import { expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { root, data, run, start, continueFrom, lastCheckpoint } = useSmallRuns(context);

const model = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 };
const batch = { contextLength: 32, batchTokens: 128, learningRate: 1e-2, evalTokens: 500, deterministic: true };
function study(changes: Record<string, unknown> = {}) {
  const path = join(root, 'ends.yaml');
  const fields = {
    name: 'ends',
    out: join(root, 'ends'),
    languages: { en: data('en'), fr: data('fr') },
    source: 'en',
    sizes: [{ name: 's', ...model }],
    train: { ...batch, warmup: 0.25 },
    ends: { tokensPerParameter: [0.1, 0.2], anneal: 0.25 },
  };
  writeFileSync(path, stringify({ ...fields, ...changes }));
  return readStudyPlan(path);
}

test('a line has a piece of trunk and an end for each budget, and CPT begins at the last end of its source', () => {
  const { runs } = study();
  const names = ['source', 'scratch-fr', 'cpt-fr'].flatMap(line =>
    ['trunk0.1', 'end0.1', 'trunk0.2', 'end0.2'].map(part => `s-${line}-${part}`),
  );
  expect(runs.map(({ name }) => name)).toEqual(names);
  const found = Object.fromEntries(runs.map(it => [it.name, it]));
  const from = (name: string) => found[name]!.from;
  expect(from('s-scratch-fr-trunk0.1')).toBeUndefined();
  expect(from('s-scratch-fr-end0.1')).toEqual({ run: 's-scratch-fr-trunk0.1' });
  expect(from('s-scratch-fr-trunk0.2')).toEqual({ run: 's-scratch-fr-trunk0.1' });
  expect(from('s-scratch-fr-end0.2')).toEqual({ run: 's-scratch-fr-trunk0.2' });
  expect(from('s-cpt-fr-trunk0.1')).toEqual({ run: 's-source-end0.2' });
  const going = { warmup: 0, optimizerState: 'keep', dataOrder: 'continue' };
  expect(found['s-cpt-fr-trunk0.1']!.config).toMatchObject({ schedule: 'constant', warmup: 0.25, dataOrder: 'new' });
  expect(found['s-cpt-fr-trunk0.2']!.config).toMatchObject({ schedule: 'constant', ...going });
  expect(found['s-cpt-fr-end0.2']!.config).toMatchObject({ schedule: 'anneal', ...going });
  const lengths = ['trunk0.1', 'end0.1', 'trunk0.2', 'end0.2'].map(
    part => found[`s-cpt-fr-${part}`]!.config.tokensPerParameter,
  );
  for (const [i, length] of [0.075, 0.025, 0.075, 0.05].entries()) expect(lengths[i]).toBeCloseTo(length, 12);
  const replay = [{ ratios: [0.2], account: ['extra'] }];
  const replayed = study({ replay }).runs.find(({ name }) => name === 's-cpt-fr-replay0.2-extra-end0.2')!;
  expect(replayed.config.tokensPerParameter).toBeCloseTo(0.05 / 0.8, 12);
});

describe('a study that ran', () => {
  test('has a trunk of the bits of one run, ends that were annealed, and laws of these alone', async () => {
    const plan = study();
    const execute: Execute = ({ folder, config, from }, { signal }) =>
      startOrResumeClaimed({ ...config, out: folder }, { from, signal, device: context.device });
    expect(resolveStudy(plan).size).toBe(12);
    expect(await runStudy(plan, { execute })).toMatchObject({ status: 'done', failed: [], blocked: [] });
    expect(readPlan(plan.folder)).toEqual(plan);

    const resolved = resolveStudy(plan);
    const [first, second] = [0.1, 0.2].map(end => resolved.get(`s-scratch-fr-trunk${end}`)!.steps);
    const steps = first! + second!;
    const warmup = Math.round(0.25 * first!) / steps;
    const whole = { ...batch, schedule: 'constant', warmup, tokens: steps * 128, seed: 0 };
    await start('whole', { ...whole, sources: [{ name: 'fr', path: data('fr') }] });
    const trunk = listCheckpoints(runFolder(plan.folder, 's-scratch-fr-trunk0.2')).at(-1)!.folder;
    expectSameCheckpoint(trunk, lastCheckpoint('whole'));

    const points = studyPoints(await readStudy(plan.folder));
    const annealed = points.filter(point => point.annealed);
    const parameters = points[0]!.parameters;
    const per = (tokens: number) => Math.round((100 * tokens) / parameters) / 100;
    expect(annealed.map(({ run, tokens }) => [run, per(tokens)])).toEqual(
      ['s-source', 's-scratch-fr', 's-cpt-fr'].flatMap(line => [0.1, 0.2].map(end => [line, end])),
    );
    expect(
      annealed.every(
        ({ flops, tokens }) => Math.abs(flops / tokens / (annealed[0]!.flops / annealed[0]!.tokens) - 1) < 1e-12,
      ),
    ).toBe(true);
    expect(
      points.filter(point => point.strategy === 'cpt').map(point => per(point.sourceTokensPerParameter! * parameters)),
    ).toEqual(points.filter(point => point.strategy === 'cpt').map(() => 0.2));
    expect(points.some(point => point.strategy === 'scratch' && point.sourceTokensPerParameter !== undefined)).toBe(
      false,
    );
    expect(parseStudyPoints(pointsCsv(points), 'points.csv')).toEqual(points);

    expect(haveEnds(points)).toBe(true);
    const view = viewOfPoints('ends', points, []);
    expect(pageOfStudy(view)).toContain('Every dot is an end of a run');
    const unannealed = points.filter(({ annealed }) => !annealed);
    expect(pageOfStudy(viewOfPoints('along', unannealed, []))).not.toContain('Every dot is an end');
    expect(view.curves.map(({ run, points }) => [run, points.length])).toEqual([
      ['s-source', 2],
      ['s-scratch-fr', 2],
      ['s-cpt-fr', 2],
    ]);
    expect(view.curves[2]!.sourceLossBefore).toBe(annealed[1]!.loss);
    const [fits] = fitStudy(points, ['fr'], 0);
    expect(fits!.scratchCompute).toMatchObject({ used: { points: 2, excluded: { unannealed: expect.any(Number) } } });
  });
});

test('sizes have ends and seeds of their own, and CPT starts from earlier ends of the source too', () => {
  const other = { name: 'o', ...model, ends: { tokensPerParameter: [0.1, 0.2, 0.4] }, seeds: [0, 1] };
  const changes = {
    sizes: [{ name: 's', ...model }, other],
    sourceEnds: [
      { tokensPerParameter: [0.1, 0.2], sizes: ['o'], targets: ['fr'] },
      { tokensPerParameter: [0.1], sizes: ['s'], seeds: [1] },
    ],
  };
  const { runs } = study(changes);
  const lines = [...new Set(runs.map(({ part }) => part!.line))];
  const others = ['source', 'scratch-fr', 'cpt-fr', 'cpt-fr-from0.1', 'cpt-fr-from0.2'];
  expect(lines).toEqual([
    ...['source', 'scratch-fr', 'cpt-fr'].map(line => `s-${line}-seed0`),
    ...[0, 1].flatMap(seed => others.map(line => `o-${line}-seed${seed}`)),
  ]);
  const found = Object.fromEntries(runs.map(it => [it.name, it]));
  expect(found['o-cpt-fr-from0.2-seed1-trunk0.1']).toMatchObject({
    sourceEnd: 0.2,
    from: { run: 'o-source-seed1-end0.2' },
    config: { seed: 1 },
  });
  expect(found['o-cpt-fr-seed1-trunk0.1']).toMatchObject({ from: { run: 'o-source-seed1-end0.4' } });
  expect(found['o-scratch-fr-seed0-end0.4']!.part!.tokensPerParameter).toBe(0.4);
  expect(found['s-scratch-fr-seed0-end0.4']).toBeUndefined();
});

test.each<[string, Record<string, unknown>, RegExp]>([
  ['budgets that fall', { ends: { tokensPerParameter: [2, 1] } }, /ends.tokensPerParameter must grow, and 1 follows 2/],
  ['no budget', { ends: { tokensPerParameter: [] } }, /'ends.tokensPerParameter'/],
  [
    'an end of the source that is not there',
    { sourceEnds: [{ tokensPerParameter: [0.3] }] },
    /sourceEnds: size 's': there is no end of 0.3 tokens per parameter before the last; there are 0.1/,
  ],
  ['the last end of the source', { sourceEnds: [{ tokensPerParameter: [0.2] }] }, /no end of 0.2 .* before the last/],
  [
    'an unknown size',
    { sourceEnds: [{ tokensPerParameter: [0.1], sizes: ['x'] }] },
    /sourceEnds.sizes names the size 'x'/,
  ],
  [
    'ends of a size that fall',
    { sizes: [{ name: 's', ...model, ends: { tokensPerParameter: [2, 1] } }] },
    /size 's': ends.tokensPerParameter must grow, and 1 follows 2/,
  ],
  ['nothing but annealing', { ends: { tokensPerParameter: [1], anneal: 1 } }, /'ends.anneal' is 1/],
  ['a budget beside them', { train: { tokens: 5 } }, /train: with ends, 'tokens' is the study's own to say; remove it/],
  ['a schedule of a size', { sizes: [{ name: 's', ...model, schedule: 'wsd' }] }, /size 's': with ends, 'schedule' is/],
])('%s are refused', (_, changes, message) => {
  expect(() => study(changes)).toThrow(UserError);
  expect(() => study(changes)).toThrow(message);
});

test('the order of the data goes on only in the data of the source', async () => {
  await start('source', batch);
  const more = { ...batch, dataOrder: 'continue' };
  await expect(start('new', more)).rejects.toThrow(/dataOrder continue is for cpt/);
  await expect(
    continueFrom(run('source'), 'fr', { ...more, sources: [{ name: 'fr', path: data('fr') }] }),
  ).rejects.toThrow(/was trained on en \(1\), and this run takes fr \(1\); leave dataOrder out/);
});
