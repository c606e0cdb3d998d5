/** `fit` and `plan` as a user meets them: from points to a fit, and from a fit or a paper's law to a plan. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packageRoot } from '../../src/files.js';
import { learningRateAt, type ScheduleSettings } from '../../src/optim/schedule.js';
import type { LawParameters } from '../../src/scaling/law.js';
import { repeatedLossAt } from '../../src/scaling/repetition.js';
import { runCommand } from '../support/command.js';
import { curvePath, FITTED } from '../support/curves.js';
import { ALONG_RUNS, cptLaw, pointsOn, scratchLaw } from '../support/laws.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-fit-'));
const babelgrad = (...parameters: string[]) => runCommand(root, parameters);
const json = async (...parameters: string[]) => {
  const { status, stdout, stderr } = await babelgrad(...parameters, '--json');
  expect(status, stderr).toBe(0);
  expect(stdout.trim().split('\n'), 'one line on stdout').toHaveLength(1);
  return JSON.parse(stdout) as Record<string, never>;
};

function writePoints(file: string, law: LawParameters, ratios: readonly number[]): void {
  const rows = pointsOn(law, ratios).map(({ parameters, tokens, loss }) => `${parameters},${tokens},${loss}`);
  writeFileSync(join(root, file), ['parameters,tokens,loss', ...rows, ''].join('\n'));
}

beforeAll(async () => {
  writePoints('scratch.csv', scratchLaw, ALONG_RUNS);
  writePoints('cpt.csv', cptLaw, ALONG_RUNS);
  writePoints('ends.csv', cptLaw, [20]);
  writePoints('few.csv', scratchLaw, [20]);
  const kinds = ['scratch', 'cpt'].map(strategy => `${strategy},1e9,2e10,2`);
  writeFileSync(join(root, 'kinds.csv'), ['strategy,parameters,tokens,loss', ...kinds, ''].join('\n'));
  const replay = [0, 0.05, 0.1, 0.3].map(r => `1e9,2e10,2,${r},${2.1 - 0.15 * Math.log(r + 1e-3)}`);
  writeFileSync(join(root, 'replay.csv'), ['parameters,tokens,loss,replay,sourceLoss', ...replay, ''].join('\n'));
  const fits = [
    ['scratch.csv', '--law', 'chinchilla', '--out', 'scratch.json', '--bootstrap', '20'],
    ['cpt.csv', '--law', 'cpt', '--scratch', 'scratch.json', '--out', 'cpt.json', '--bootstrap', '20'],
    ['scratch.csv', '--law', 'compute', '--out', 'compute.json'],
  ];
  for (const parameters of fits) {
    const { status, stderr } = await babelgrad('fit', ...parameters);
    expect(status, stderr).toBe(0);
  }
});
afterAll(() => rmSync(root, { recursive: true }));

const saved = (file: string) => JSON.parse(readFileSync(join(root, file), 'utf8'));

describe('fit', () => {
  test('writes the parameters, intervals, objective, points, a, b and what was used', () => {
    const fit = saved('scratch.json');
    expect(fit).toMatchObject({ law: 'chinchilla', points: 84, used: { file: 'scratch.csv', rows: 84, points: 84 } });
    for (const [name, value] of Object.entries(scratchLaw)) expect(fit.parameters[name]).toBeCloseTo(value, 1);
    expect(Object.keys(fit.intervals)).toEqual(['E', 'A', 'B', 'alpha', 'beta', 'gamma', 'a', 'b']);
    expect(fit.objective).toBeLessThan(1e-12);
    expect(fit.a + fit.b).toBeCloseTo(1, 12);
    expect(saved('cpt.json').parameters.gamma).toBeCloseTo(0.08, 6);
    expect(saved('compute.json')).toMatchObject({ law: 'compute', parameters: { k: expect.any(Number) } });
  });

  test('prints the same object with --json', async () => {
    expect(await json('fit', 'cpt.csv', '--law', 'cpt', '--scratch', 'scratch.json', '--bootstrap', '20')).toEqual(
      saved('cpt.json'),
    );
  });

  test('judges laws by points held out, and plan reads it', async () => {
    const options = ['--law', 'chinchilla', '--bootstrap', '0', '--holdout', 'largest', '--out', 'held.json'];
    const { stdout, status } = await babelgrad('fit', 'cpt.csv', ...options);
    expect(status).toBe(0);
    expect(stdout).toMatch(/held out: largest │ rms fitted │ rms held out/);
    expect(stdout).toMatch(/│ extended .*│ best │/);
    expect(saved('held.json').holdout).toMatchObject({ holdout: 'largest', best: 'extended', points: 6 });
    const { warnings } = await json('plan', '--compute', '1e23', '--law', 'held.json');
    expect(warnings).toEqual(expect.arrayContaining([expect.stringMatching(/disagree at .*'extended' predicted/)]));
  });

  test('prints tables for people, with what the points leave open', async () => {
    const { stdout } = await babelgrad(
      'fit',
      'ends.csv',
      '--law',
      'cpt',
      '--scratch',
      'scratch.json',
      '--bootstrap',
      '20',
    );
    expect(stdout).toMatch(/14 of 14 rows/);
    expect(stdout).toMatch(/│ gamma +│ +-?\d.*│ +undetermined │/);
    expect(stdout).toMatch(/│ alpha +│ +\d.*│ +of the scratch fit │/);
    expect(stdout).toMatch(/undetermined: the direction \((beta \+0.71, gamma −0.71|beta −0.71, gamma \+0.71)\)/);
    expect(stdout).toMatch(/warning: D\/N is 20 at every point/);
  });
});

describe('plan', () => {
  const oracle = JSON.parse(readFileSync(join(packageRoot, 'test/fixtures/paper/oracle.json'), 'utf8'));
  const six = (value: number) => Number(value.toPrecision(6));

  test.each(['scratch', 'cpt'])("gives the paper's %s allocation to 6 digits", async strategy => {
    const { C, ...expected } = oracle.allocation[2];
    const plan = await json('plan', '--compute', String(C), '--law', `paper-${strategy}`);
    for (const [name, value] of Object.entries<number>(expected[strategy])) expect(six(plan[name]!)).toBe(six(value));
    expect(plan.warnings).toEqual(
      expect.arrayContaining([expect.stringMatching(/contradicts the paper's own finding/)]),
    );
  });

  test("gives the paper's transfer to 6 digits", async () => {
    const row = oracle.transfer[6];
    const plan = await json('plan', '--parameters', String(row.N), '--tokens', String(row.D_cpt), '--law', 'paper-cpt');
    const [first] = plan.savings as unknown as Record<string, number>[];
    expect(six(first!.flopsSaved!)).toBe(six(row.flops_saved));
    expect(six(first!.effectivelyTransferred!)).toBe(six(row.effectively_transferred));
  });

  test('by a fit of CPT brings its scratch law, intervals and a wall-clock', async () => {
    const plan = await json('plan', '--compute', '1e20', '--law', 'cpt.json', '--tokens-per-second', '1000');
    expect(six(plan.N_opt!)).toBeCloseTo(oracle.allocation[2].cpt.N_opt, -4);
    const [low, high] = plan.lossInterval as unknown as [number, number];
    expect(low).toBeLessThanOrEqual(high);
    expect(plan.others).toMatchObject([{ law: 'cpt.json (scratch)', strategy: 'scratch' }]);
    const { seconds } = plan.wallClock as { seconds: number };
    expect(seconds / (plan.D_opt! / 1000)).toBeCloseTo(1, 9);
  });

  test('measures how fast this machine trains', async () => {
    const { C, wallClock } = await json('plan', '--compute', '1e15', '--law', 'paper-cpt', '--measure');
    const { seconds, flopsPerSecond, parameters, tokensPerSecond } = wallClock as unknown as Record<string, number>;
    expect(tokensPerSecond).toBeGreaterThan(0);
    expect(flopsPerSecond! / (6 * parameters! * tokensPerSecond!)).toBeCloseTo(1, 12);
    expect((seconds! * flopsPerSecond!) / C!).toBeCloseTo(1, 12);
  });

  test('of tokens, or of parameters, has them as its optimum', async () => {
    expect((await json('plan', '--tokens', '3e10', '--law', 'chinchilla')).D_opt! / 3e10).toBeCloseTo(1, 9);
    expect((await json('plan', '--parameters', '3e8', '--law', 'paper-cpt')).N_opt! / 3e8).toBeCloseTo(1, 9);
  });

  test('proposes replay under a limit', async () => {
    const limit = 2.1 - 0.15 * Math.log(0.2 + 1e-3);
    const options = ['--replay-points', 'replay.csv', '--source-loss-limit', String(limit)];
    const { replay } = await json('plan', '--compute', '1e20', '--law', 'cpt.json', ...options);
    expect((replay as { replay: number }).replay).toBeCloseTo(0.2, 5);
    const { stdout } = await babelgrad('plan', '--compute', '1e20', '--law', 'cpt.json', ...options);
    expect(stdout).toMatch(/replay 20.0% keeps the source loss at/);
    expect(stdout).toMatch(/│ out of the same compute/);
  });

  test('proposes replay for a size that was not run, and says what CPT did to copying', async () => {
    const header = 'run,strategy,parameters,tokens,loss,replay,sourceLoss,copy,induction,sourceCopy,sourceInduction';
    const lossOf = (N: number, r: number) => 1.2 + 25 * N ** -0.17 + 0.12 * (r + 0.01) ** -0.35;
    const rows = [1e8, 4e8, 1.6e9].flatMap(N => [
      `source-${N},source,${N},${20 * N},2,0,,0.82,0.01,,`,
      ...[0, 0.05, 0.1, 0.3].map(r => {
        const copying = 0.31 + 4 * Math.min(r, 0.11);
        return `cpt-${N}-${r},cpt,${N},${20 * N},2,${r},${lossOf(N, r)},0.2,0.01,${copying},0.01`;
      }),
    ]);
    writeFileSync(join(root, 'sizes.csv'), [header, ...rows, ''].join('\n'));
    const options = ['--replay-points', 'sizes.csv', '--source-loss-limit', String(lossOf(8e8, 0.2))];
    const law = ['--law', 'cpt.json', '--replay-law', 'd-cpt', '--where', 'strategy=cpt'];
    const size = ['--parameters', '8e8', '--tokens', '16e9'];
    const { stdout, stderr, status } = await babelgrad('plan', ...size, ...law, ...options);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/planned by d-cpt, 12 runs of 100M to 1.6G parameters: E /);
    expect(stdout).toMatch(/replay 20.0% \(95%: \d+.\d … \d+.\d%\) keeps the source loss at/);
    expect(stdout).toMatch(/copying fell from 0.82 to 0.31 without replay, to 0.51 with 5%, to 0.71 with 10%, to 0.75/);
    expect(stdout).not.toMatch(/induction/);
  });

  test('prints negative savings as negative', async () => {
    const { stdout } = await babelgrad('plan', '--compute', '1e21', '--law', 'paper-cpt');
    expect(stdout).toMatch(/FLOPs saved at equal loss +│ +-465%/);
    expect(stdout).toMatch(/44% of the FLOPs saved/);
  });
});

describe('repetition', () => {
  test('is fitted to points with uniqueTokens, and planned with', async () => {
    const law = saved('scratch.json').parameters;
    const rows = [5e7, 5e8, 5e9].flatMap(N =>
      [1e8, 1e9].flatMap(U =>
        [1, 4, 16, 64].map(passes => {
          const loss = repeatedLossAt(law, { R_D: 15, R_N: 5 }, N, passes * U, U);
          return `${N},${passes * U},${U},${loss}`;
        }),
      ),
    );
    writeFileSync(join(root, 'passes.csv'), ['parameters,tokens,uniqueTokens,loss', ...rows, ''].join('\n'));
    const options = ['--law', 'repetition', '--scratch', 'scratch.json', '--bootstrap', '10', '--out', 'passes.json'];
    const fit = await json('fit', 'passes.csv', ...options);
    expect((fit.parameters as { R_D: number }).R_D).toBeCloseTo(15, 2);
    const plan = await json('plan', '--compute', '1e20', '--law', 'passes.json', '--unique-tokens', '1e9');
    expect(plan.repeated).toMatchObject({ uniqueTokens: 1e9, source: 'passes.json' });
    const { stdout } = await babelgrad('plan', '--compute', '1e20', '--law', 'chinchilla', '--unique-tokens', '1e9');
    expect(stdout).toMatch(/with 1G different tokens: .* passes: loss .*; if all were new/);
    expect(stdout).toMatch(/warning: what passes are worth is as Muennighoff/);
  });
});

describe('laws of whole curves', () => {
  const curves = FITTED.map(name => curvePath('25M', name));

  test('are fitted, and plan the end of a run under a schedule or from its first half', async () => {
    const fit = await json('fit', ...curves, '--law', 'annealing', '--bootstrap', '20', '--out', 'curves.json');
    expect(fit).toMatchObject({ law: 'annealing', decay: 0.998, points: 437, open: [] });
    const schedule = ['--schedule', 'cosine', '--steps', '72000', '--learning-rate', '3e-4', '--warmup', '0.03'];
    const planned = await json('plan', '--law', 'curves.json', ...schedule);
    expect(planned.step).toBe(72000);
    const lines = readFileSync(curvePath('25M', 'cosine_72000'), 'utf8').split('\n');
    writeFileSync(join(root, 'half.csv'), `${lines.slice(0, 270).join('\n')}\n`);
    const { stdout, status } = await babelgrad('plan', 'half.csv', '--law', 'curves.json', ...schedule);
    expect(status).toBe(0);
    expect(stdout).toMatch(/loss 3\.20\d+ \(95%: 3\.\d+ … 3\.\d+\) after 72000 steps .* from its first 36464 steps/);
  });

  test('read the metrics of a run, and plan its end by its own schedule', async () => {
    const folder = join(root, 'run');
    mkdirSync(folder);
    const schedule: ScheduleSettings = {
      schedule: 'wsd',
      ...{ learningRate: 1e-3, warmup: 0.1, minLearningRateRatio: 0.1, decay: 0.3, cooldown: 0.2 },
      ...{ constantLearningRateRatio: 0.5, cooldownShape: 'cosine', annealShape: 'linear' },
    };
    const config = {
      ...{ name: 'run', method: 'scratch', sources: [{ name: 'en', weight: 1 }], seed: 0 },
      model: { hiddenSize: 8, numHiddenLayers: 1, vocabSize: 16 },
      parameters: { total: 25e6, withoutEmbeddings: 1, nominal: null },
      ...{ tokens: 4000, contextLength: 4, batchTokens: 4, schedule },
    };
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
    const steps = Array.from({ length: 400 }, (_, i) => {
      const line = { kind: 'step', step: i + 1, tokens: 4 * (i + 1), flops: 1, gradientNorm: 1, tokensPerSecond: 1 };
      const learningRate = learningRateAt(schedule, i + 1, 1000);
      return JSON.stringify({ ...line, loss: 3 + (0.01 * (i + 1)) ** -0.5, learningRate });
    });
    writeFileSync(join(folder, 'metrics.jsonl'), `${steps.join('\n')}\n`);
    const plan = await json('plan', 'run', '--law', 'curves.json');
    expect(plan).toMatchObject({ step: 1000, known: { step: 400 } });
    // warm-up, stable, and a linear fall to a tenth
    expect(plan.S1).toBeCloseTo(1e-3 * (50.5 + 600 + 300 * 0.55), 2);
  });
});

describe('bad input ends with status 2 and says what was wrong', () => {
  beforeAll(() => {
    const files = {
      'zero.csv': 'parameters,tokens,loss\n1e6,1e7,5\n2e6,1e7,0\n',
      'infinite.csv': 'parameters,tokens,loss\n1e6,1e7,Infinity\n',
      'column.csv': 'parameters,tokens\n1e6,1e7\n',
      'one-size.csv': `parameters,tokens,loss\n${[1, 2, 3, 4, 5, 6].map(i => `1e6,${i}e7,${6 - i / 9}`).join('\n')}\n`,
      'two.csv': 'parameters,tokens,loss\n1e6,1e7,5\n2e6,1e7,4\n',
      'broken.json': '{',
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
  });

  const chinchilla = ['--law', 'chinchilla'];
  const plan = ['plan', '--compute', '1e20', '--law'];
  test.each<[string, string[], RegExp]>([
    ['fewer points than parameters', ['fit', 'two.csv', ...chinchilla], /2 points cannot fix 5 parameters/],
    ['a loss of 0', ['fit', 'zero.csv', ...chinchilla], /'zero.csv' row 2 \(line 3\): loss is '0'/],
    ['a loss that is not finite', ['fit', 'infinite.csv', ...chinchilla], /row 1 \(line 2\): loss is 'Infinity'/],
    ['all sizes equal', ['fit', 'one-size.csv', ...chinchilla], /all points have 1000000 parameters/],
    ['a missing column', ['fit', 'column.csv', ...chinchilla], /no column 'loss'/],
    ['a CPT fit without its scratch fit', ['fit', 'cpt.csv', '--law', 'cpt'], /--law chinchilla --out fit.json/],
    [
      'a scratch fit that is none',
      ['fit', 'cpt.csv', '--law', 'cpt', '--scratch', 'cpt.json'],
      /'cpt.json' is a cpt fit/,
    ],
    [
      'a scratch fit for another law',
      ['fit', 'cpt.csv', ...chinchilla, '--scratch', 'cpt.json'],
      /goes with --law cpt/,
    ],
    [
      'a fit that is no JSON',
      ['fit', 'cpt.csv', '--law', 'cpt', '--scratch', 'broken.json'],
      /'broken.json' is not a fit/,
    ],
    ['no such points', ['fit', 'none.csv', ...chinchilla], /there is no file 'none.csv'/],
    ['no law', ['fit', 'few.csv'], /required option '--law <law>'/],
    [
      'an unknown law',
      ['fit', 'few.csv', '--law', 'kaplan'],
      /Allowed choices are chinchilla, cpt, compute, repetition, annealing/,
    ],
    ['runs to resample without names', ['fit', 'few.csv', ...chinchilla, '--resample', 'runs'], /a column 'run'/],
    [
      'rows of several strategies',
      ['fit', 'kinds.csv', ...chinchilla],
      /strategy scratch, cpt\. .*--where strategy=cpt$/m,
    ],
    ['no row left', ['fit', 'few.csv', ...chinchilla, '--where', 'loss=1'], /no row of 'few.csv' is left/],
    ['a law of curves without a schedule', ['plan', '--law', 'curves.json'], /give --schedule, or the run whose end/],
    ['a schedule by a law that knows none', [...plan, 'cpt.json', '--schedule', 'wsd'], /'cpt.json' knows no schedule/],
    ['points where curves are wanted', ['fit', 'cpt.csv', '--law', 'annealing'], /no column 'step'/],
    ['a hold-out that is none', ['fit', 'cpt.csv', ...chinchilla, '--holdout', '1'], /largest, last, or a number of/],
    ['a plan for nothing', ['plan', '--law', 'paper-cpt'], /give --compute, --tokens or --parameters/],
    ['a plan for too much', [...plan, 'paper-cpt', '--tokens', '1'], /give --compute, or/],
    [
      'a law that is none',
      [...plan, 'kaplan'],
      /'kaplan' is neither the file of a fit nor one of paper-scratch, paper-cpt/,
    ],
    ['a plan by loss against compute', [...plan, 'compute.json'], /says nothing of parameters and tokens/],
    ['two laws of one strategy', [...plan, 'paper-cpt', '--other', 'cpt.json'], /are both laws of cpt/],
    ['no compute', ['plan', '--compute', '-1', '--law', 'paper-cpt'], /It must be a number above 0/],
    ['replay without a limit', [...plan, 'cpt.json', '--replay-points', 'replay.csv'], /go together/],
    [
      'replay without a law of CPT',
      [...plan, 'chinchilla', '--replay-points', 'replay.csv', '--source-loss-limit', '2'],
      /replay is planned with a law of CPT/,
    ],
    [
      'replay without its columns',
      [...plan, 'cpt.json', '--replay-points', 'cpt.csv', '--source-loss-limit', '2'],
      /'cpt.csv' has no column 'replay'/,
    ],
  ])('%s', async (_, parameters, message) => {
    const { status, stdout, stderr } = await babelgrad(...parameters);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
    expect(stdout).toBe('');
  });
});
