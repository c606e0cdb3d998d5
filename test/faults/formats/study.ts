/** A study, and the laws of its points. */
import { join } from 'node:path';
import { readText } from '../../../src/input-files.js';
import { parsePoints } from '../../../src/scaling/points.js';
import { parseFit } from '../../../src/scaling/saved-fit.js';
import { readStudyPlan } from '../../../src/study/plan.js';
import { pointsCsv, studyPoints } from '../../../src/study/points.js';
import { parseStudyPoints } from '../../../src/study/read-points.js';
import { readStudy } from '../../../src/study/state.js';
import { makeRun, makeStudy } from '../../support/study.js';
import { mutateJson, mutateTable, mutateYaml } from '../mutate.js';
import { type Format, fileOf, sound, text } from './format.js';

const plan = makeStudy(join(sound, 'study'), { sizes: [1e5, 2e5], ratios: [0.1] });
for (const run of plan.runs) makeRun(plan, run, 0.1);
const POINTS = Buffer.from(pointsCsv(studyPoints(await readStudy(plan.folder))));
const LAW = { E: 1.7, A: 400, B: 400, alpha: 0.3, beta: 0.3, gamma: 0.1 };
const FITTED = {
  parameters: LAW,
  range: { parameters: [1e6, 1e9], tokens: [1e8, 1e10], tokensPerParameter: [1, 20], compute: [1e15, 1e20] },
  samples: [Object.values(LAW), Object.values(LAW)],
  parameterCount: 'total',
};
const FIT = { law: 'cpt', ...FITTED, diagnosis: { determined: true, open: ['gamma'] }, scratch: FITTED };
const STUDY = `name: a study
out: runs/study
languages: { en: data/en, fr: data/fr, zh: data/zh }
source: en
strategies: [source, scratch, cpt, lora]
sizes:
  - name: s
    preset: tiny
    tokens: 20_000
  - { name: m, preset: mini, tokens: 50_000, targets: [fr] }
train: { contextLength: 64 }
replay:
  - ratios: [0.1, 0.3]
    account: [extra, budget]
  - { stages: [{ until: 0.2, ratio: 0.3 }, { until: 1, ratio: 0.02, to: 0.1 }], sizes: [m] }
lora:
  - { ranks: [4, 16], learningRate: 1e-2, sizes: [m] }
seeds: [0, 1]
`;

export const studies: readonly Format[] = [
  {
    name: 'study.yaml',
    file: 'study.yaml',
    inputs: 1000,
    whole: Buffer.from(STUDY),
    mutate: mutateYaml,
    read: path => readStudyPlan(path),
  },
  {
    name: 'study.json',
    file: 'study.json',
    inputs: 1500,
    whole: fileOf('study', 'study.json'),
    mutate: mutateJson,
    read: async (_, folder) => studyPoints(await readStudy(folder)),
  },
  {
    name: 'points.csv',
    file: 'points.csv',
    inputs: 4000,
    whole: Buffer.from(POINTS.toString().split('\n').slice(0, 8).join('\n')),
    mutate: mutateTable,
    read: path => {
      const table = readText(path);
      parsePoints(table, path, { exclude: ['repeated', 'warmup', 'unannealed'], where: { strategy: 'cpt' } });
      parseStudyPoints(table, path);
    },
  },
  {
    name: 'a fit',
    file: 'fit.json',
    inputs: 5000,
    whole: text(FIT),
    mutate: mutateJson,
    read: path => parseFit(readText(path), path),
  },
];
