/** From a study file to its runs, and what a bad file is told. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { UserError } from '../../src/errors.js';
import { readStudyPlan } from '../../src/study/plan.js';
import { readPlan, writePlan } from '../../src/study/state.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-study-plan-'));
afterAll(() => rmSync(root, { recursive: true }));

const model = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 };
const study = {
  name: 'a study',
  out: join(root, 'out'),
  languages: { en: 'data/en', fr: 'data/fr', zh: 'data/zh' },
  source: 'en',
  sizes: [
    { name: 's', ...model },
    { name: 'm', ...model, hiddenSize: 64, tokens: 5000 },
  ],
  train: { tokens: 1000, contextLength: 16 },
};
const plan = (changes: Record<string, unknown> = {}) => {
  const path = join(root, 'study.yaml');
  writeFileSync(path, stringify({ ...study, ...changes }));
  return readStudyPlan(path);
};
const names = (changes: Record<string, unknown> = {}) => plan(changes).runs.map(({ name }) => name);

test('more runs than a study has are counted before any is planned', () => {
  const seeds = Array.from({ length: 2000 }, (_, seed) => seed);
  expect(() => plan({ seeds })).toThrow(
    /sizes, targets, replay, ranks and seeds multiply to 20000 runs; .* at most 10000/,
  );
});

describe('study.json', () => {
  const folder = join(root, 'read-back');
  type Written = Record<string, unknown> & { runs: Record<string, unknown>[] };
  const changed = (change: (json: Written) => void) => {
    mkdirSync(folder, { recursive: true });
    writePlan({ ...plan(), folder });
    const path = join(folder, 'study.json');
    const json = JSON.parse(readFileSync(path, 'utf8')) as Written;
    change(json);
    writeFileSync(path, JSON.stringify(json));
    try {
      return readPlan(folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };

  test('gives the plan back, and leaves out what a cluster is asked for', () => {
    writePlan({ ...plan(), folder });
    writePlan({ ...plan({ slurm: { partition: 'gpu', time: '1-00' } }), folder });
    expect(plan({ slurm: { time: '90' } }).slurm).toMatchObject({ time: '90', signalSeconds: 90, requeue: true });
    expect(readPlan(folder)).toEqual({ ...plan(), folder });
    rmSync(folder, { recursive: true });
  });

  test('gives the plan back as it was written', () => {
    expect(changed(() => {})).toEqual({ ...plan(), folder });
  });

  test.each<[string, (json: Written) => unknown, RegExp]>([
    ['a run of no name', ({ runs }) => delete runs[0]!.name, /runs.0.name: /],
    ['a name that leaves the folder', ({ runs }) => (runs[0]!.name = '../../evil'), /runs.0.name: it is no name/],
    ['a name of dots', ({ runs }) => (runs[0]!.name = '..'), /runs.0.name: it is no name/],
    ['a strategy that there is not', ({ runs }) => (runs[0]!.strategy = 'constructor'), /runs.0.strategy: /],
    ['no configuration', ({ runs }) => (runs[1]!.config = null), /runs.1.config: /],
    ['a bad configuration', ({ runs }) => (runs[1]!.config = { out: 1 }), /run 's-scratch-fr': field 'out' is 1/],
    [
      'a source that is no run',
      ({ runs }) => (runs[2]!.from = { run: 'x' }),
      /'s-cpt-fr' starts from 'x', which is no/,
    ],
    ['a run twice', ({ runs }) => (runs[1]!.name = 's-source'), /two runs are named 's-source'/],
    ['no list of runs', json => (json.runs = {} as Written['runs']), /runs: /],
    ['targets that are none', json => (json.targets = [1]), /targets.0: /],
  ])('with %s is refused', (_, change, message) => {
    const attempt = () => changed(json => void change(json));
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(UserError);
    expect(attempt).toThrow(/^'.*study.json'/);
  });
});

describe('runs', () => {
  test('of each size a source run, and scratch and CPT into every other language', () => {
    expect(names()).toEqual([
      's-source',
      's-scratch-fr',
      's-cpt-fr',
      's-scratch-zh',
      's-cpt-zh',
      'm-source',
      'm-scratch-fr',
      'm-cpt-fr',
      'm-scratch-zh',
      'm-cpt-zh',
    ]);
  });

  test('numbers may have underscores, in fields of the study, of all runs and of a size', () => {
    const { runs } = plan({
      seeds: ['1_000'],
      train: { tokens: '20_000', contextLength: 16 },
      sizes: [{ name: '1_0', ...model, hiddenSize: '3_2' }],
    });
    expect(runs.map(({ seed }) => seed)).toContain(1000);
    expect(runs[0]!.config).toMatchObject({ name: '1_0-source', tokens: 20_000, hiddenSize: 32, seed: 1000 });
    expect(() => plan({ seeds: ['abc'] })).toThrow(/field 'seeds.0' is "abc": it must be a number/);
    expect(() => plan({ train: { tokens: 'abc' } })).toThrow(/train: field 'tokens' is "abc": it must be a number/);
  });

  test('scratch and CPT of a size differ in their start alone: same tokens, order, schedule and held-out text', () => {
    const { runs } = plan();
    const config = (name: string) => {
      const { name: _, out: __, heldOut, ...rest } = runs.find(run => run.name === name)!.config;
      return { rest, heldOut };
    };
    const { hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads, ...scratch } =
      config('m-scratch-fr').rest;
    expect(config('m-cpt-fr').rest).toEqual(scratch);
    expect([hiddenSize, scratch.tokens]).toEqual([64, 5000]);
    expect(config('m-cpt-fr').heldOut).toEqual({ fr: 'data/fr', en: 'data/en' });
    expect(runs.find(({ name }) => name === 'm-cpt-fr')!.from).toEqual({ run: 'm-source' });
  });

  test('replay as extra tokens keeps the target tokens, out of the budget it does not', () => {
    const { runs } = plan({ replay: [{ ratios: [0.2], account: ['extra', 'budget'], sizes: ['s'], targets: ['fr'] }] });
    const replayed = runs.filter(({ replay }) => replay > 0);
    expect(replayed.map(({ name, config }) => [name, config.tokens])).toEqual([
      ['s-cpt-fr-replay0.2-extra', 1250],
      ['s-cpt-fr-replay0.2-budget', 1000],
    ]);
    expect(replayed[0]!.config.sources).toEqual([
      { name: 'fr', path: 'data/fr', weight: 0.8 },
      { name: 'en', path: 'data/en', weight: 0.2 },
    ]);
  });

  test('replay in stages is one run: its mean share stands for it, and sets the extra tokens', () => {
    const stages = [
      { until: 0.2, ratio: 0.3 },
      { until: 1, ratio: 0.02, to: 0.1 },
    ];
    const { runs } = plan({ replay: [{ stages, account: ['extra', 'budget'], sizes: ['s'], targets: ['fr'] }] });
    const replayed = runs.filter(({ replay }) => replay > 0);
    const mean = 0.2 * 0.3 + 0.8 * 0.06;
    expect(replayed.map(({ name, replay, config }) => [name, replay, config.tokens])).toEqual([
      ['s-cpt-fr-replay0.3until0.2+0.02to0.1until1-extra', 0.108, 1000 / (1 - 0.108)],
      ['s-cpt-fr-replay0.3until0.2+0.02to0.1until1-budget', 0.108, 1000],
    ]);
    expect(replayed[0]!.replay).toBeCloseTo(mean, 12);
    expect(replayed[0]!.config.sources).toEqual([
      {
        name: 'fr',
        path: 'data/fr',
        weight: [
          { until: 0.2, weight: 0.7 },
          { until: 1, weight: 0.98, to: 0.9 },
        ],
      },
      {
        name: 'en',
        path: 'data/en',
        weight: [
          { until: 0.2, weight: 0.3 },
          { until: 1, weight: 0.02, to: 0.1 },
        ],
      },
    ]);
  });

  test('the budget of a size replaces that of all, in either unit', () => {
    const { runs } = plan({ train: { tokensPerParameter: 20 } });
    expect(runs.find(({ size }) => size === 'm')!.config).not.toHaveProperty('tokensPerParameter');
    expect(runs.find(({ size }) => size === 's')!.config).toMatchObject({ tokensPerParameter: 20 });
  });

  test('a size can have targets of its own', () => {
    const sizes = [study.sizes[0], { ...study.sizes[1], targets: ['fr', 'zh'] }];
    const found = plan({ targets: ['zh'], sizes });
    expect(found.targets).toEqual(['zh', 'fr']);
    expect(found.runs.map(({ name }) => name).filter(name => name.includes('scratch'))).toEqual([
      's-scratch-zh',
      'm-scratch-fr',
      'm-scratch-zh',
    ]);
  });

  test('seeds are runs of their own; a checkpoint can stand for the source run', () => {
    expect(names({ seeds: [1, 2], targets: ['fr'], sizes: [{ name: 's', ...model }] })).toEqual([
      's-source-seed1',
      's-scratch-fr-seed1',
      's-cpt-fr-seed1',
      's-source-seed2',
      's-scratch-fr-seed2',
      's-cpt-fr-seed2',
    ]);
    const { runs } = plan({ strategies: ['cpt'], targets: ['fr'], sizes: [{ name: 's', from: 'models/s' }] });
    expect(runs.map(({ name, from }) => [name, from])).toEqual([['s-cpt-fr', { folder: 'models/s' }]]);
  });
});

const lines = { sizes: [{ name: 's', ...model }], ends: { tokensPerParameter: [1, 2] } };

describe('a bad file is told what is wrong', () => {
  const cases: [string, Record<string, unknown>, RegExp][] = [
    ['an unknown field', { seed: [1] }, /study\.yaml': unknown field 'seed'; did you mean 'seeds'/],
    ['an unknown field of a run', { train: { token: 5 } }, /train: unknown field 'token'; did you mean 'tokens'/],
    ['an unknown field of a size', { sizes: [{ name: 's', hidden: 3 }] }, /size 's': unknown field 'hidden'/],
    ['passes', { train: { epochs: 2 } }, /train: 'epochs' would be other budgets in each language/],
    ['an end before the budget', { train: { stopAfter: 2 } }, /train: 'stopAfter' ends runs before their budgets/],
    ["a field that is the study's", { train: { seed: 5 } }, /train: 'seed' is the study's own to say/],
    ['a CPT run without a source', { strategies: ['scratch', 'cpt'] }, /size 's': the CPT runs have no source/],
    ['no source language', { source: undefined }, /the strategy 'source' needs a source language/],
    ['a source that is no language', { source: 'de' }, /source names the language 'de'; there are en, fr, zh/],
    ['a target that is the source', { targets: ['en'] }, /'en' is the source, and a target too/],
    [
      'an own target that is no language',
      { sizes: [{ ...study.sizes[0], targets: ['de'] }] },
      /targets names the language 'de'/,
    ],
    ['no target', { languages: { en: 'data/en' } }, /no target language/],
    ['two sizes of one name', { sizes: [study.sizes[0], study.sizes[0]] }, /two sizes are named 's'/],
    ['a size that cannot be a folder', { sizes: [{ ...study.sizes[0], name: '../s' }] }, /sizes\.0\.name/],
    ['replay of no such size', { replay: [{ ratios: [0.1], sizes: ['xl'] }] }, /replay\.sizes names the size 'xl'/],
    ['a ratio of 1', { replay: [{ ratios: [1] }] }, /replay\.0\.ratios\.0/],
    ['replay without ratios', { replay: [{ account: ['extra'] }] }, /replay\.0' is .*: give ratios, or stages/],
    ['both', { replay: [{ ratios: [0.1], stages: [{ until: 1, ratio: 0.1 }] }] }, /give ratios, or stages/],
    ['no stage', { replay: [{ stages: [] }] }, /replay\.0\.stages' is \[\]: the last stage must go until 1/],
    [
      'stages that do not grow',
      {
        replay: [
          {
            stages: [
              { until: 0.5, ratio: 0.1 },
              { until: 0.5, ratio: 0 },
            ],
          },
        ],
      },
      /0\.5 follows 0\.5/,
    ],
    ['a stage beyond the end', { replay: [{ stages: [{ until: 2, ratio: 0.1 }] }] }, /up to 1, and 2 follows 0/],
    ['a ratio above 1', { replay: [{ stages: [{ until: 1, ratio: 1.5 }] }] }, /replay\.0\.stages\.0\.ratio/],
    ['stages without replay', { replay: [{ stages: [{ until: 1, ratio: 0 }] }] }, /some stage must have a weight/],
    ['stages of replay alone', { replay: [{ stages: [{ until: 1, ratio: 1 }] }] }, /some stage must have a weight/],
    [
      'stages of lines',
      { replay: [{ stages: [{ until: 1, ratio: 0.1 }] }], train: {}, ...lines },
      /replay has stages, which are parts of one run, and with ends a line of size 's' is several runs/,
    ],
    ['replay without CPT', { strategies: ['source'], replay: [{ ratios: [0.1] }] }, /replay needs the strategy 'cpt'/],
    ['a mistyped strategy', { strategies: ['finetune'] }, /strategies\.0/],
    ['an unknown field of Slurm', { slurm: { partitio: 'x' } }, /slurm: unknown field 'partitio'; .* 'partition'/],
    ['a time that Slurm has not', { slurm: { time: '4h' } }, /'time' is "4h": must be minutes, minutes:seconds, /],
    ['GPUs of no number', { slurm: { gpus: 'a100' } }, /'gpus' is "a100": must be how many, or a type and/],
    ['two lines in one', { slurm: { account: 'a\n--wrap=x' } }, /'account' is .*: must be one line of text/],
    ["an option that is the study's", { slurm: { extra: ['--array=3'] } }, /extra\.0.*is for the study itself to say/],
    ["an option of one letter that is the study's", { slurm: { extra: ['-a3'] } }, /extra\.0.*is for the study itself/],
    ['no option', { slurm: { extra: ['constraint'] } }, /extra\.0.*must be one option of sbatch/],
  ];
  test.each(cases)('%s', (_, changes, message) => {
    expect(() => plan(changes)).toThrow(UserError);
    expect(() => plan(changes)).toThrow(message);
  });
});

test.each(['/../../../../evil', 'a/b', 'a\\b', 'nul\u0000'])(
  'a language whose name would lead out of the folder of the study, %j, is refused',
  name => {
    const languages = { en: 'data/en', [name]: 'data/fr' };
    expect(() => plan({ languages })).toThrow(UserError);
    expect(() => plan({ languages })).toThrow(
      /a run of the study named '.*' cannot be the name of a file: take one without slashes/,
    );
  },
);
