/** Files of a run. */
import { join } from 'node:path';
import { readRunHealth } from '../../../src/audit/run-health.js';
import { originOf, readTrainingRecord } from '../../../src/checkpoint/training-record.js';
import { UserError } from '../../../src/errors.js';
import { traitsOf } from '../../../src/model/families.js';
import { modelConfig } from '../../../src/model/fields.js';
import { knownForgetting } from '../../../src/report/forgetting.js';
import { probeFindings } from '../../../src/report/probes.js';
import { compareRuns, curveOf, languagesOf, readRun } from '../../../src/report/runs.js';
import { parseConfig, parseFields } from '../../../src/run/config.js';
import { readRunConfig } from '../../../src/run/folder.js';
import { HEALTH_LIMITS } from '../../../src/run/health.js';
import { MetricsFile } from '../../../src/run/metrics.js';
import { newModel } from '../../../src/run/resolve.js';
import { type ResolvedRun, RUN_FORMAT } from '../../../src/run/resolved.js';
import { readYaml } from '../../../src/run/yaml.js';
import { writeRun } from '../../support/runs.js';
import { mutateJson, mutateLines, mutateYaml } from '../mutate.js';
import { type Format, fileOf, lines, sound, text } from './format.js';

writeRun(sound, {
  name: 'run',
  sources: { fr: 0.9, en: 0.1 },
  heldOut: { fr: [6, 5, 4], en: [4, 4.1, 4.2] },
  checkpoint: 'x/y/z',
});
const TASK_PROBE = { accuracy: 0.5, loss: 2, firstLoss: 4, tokens: 1000, chance: 0.01 };
const METRICS = Buffer.concat([
  fileOf('run', 'metrics.jsonl'),
  lines([
    {
      kind: 'step',
      step: 3,
      tokens: 3000,
      flops: 9e9,
      loss: 4,
      gradientNorm: null,
      lossScale: 8,
      learningRate: 0.1,
      tokensPerSecond: 9,
    },
    {
      kind: 'probe',
      step: 3,
      tokens: 3000,
      flops: 9e9,
      probes: { fr: { copy: TASK_PROBE, induction: TASK_PROBE } },
    },
  ]),
]);
const TENSOR = { amax: 1, rms: 1, zeros: 0, subnormal: 0, nonFinite: 0 };
const HEALTH = lines([
  {
    kind: 'health',
    step: 1,
    lossScale: 8,
    parameters: [{ name: 'w', weight: TENSOR, gradient: TENSOR, gradientToWeight: 1, updateToWeight: 1 }],
  },
]);
const STAGES = [
  { until: 0.5, weight: 1 },
  { until: 1, weight: 1, to: 2 },
];
const TRAINING = {
  format: 'babelgrad training state 1',
  run: 'french',
  step: 10,
  tokens: 1000,
  flops: 1e9,
  parameters: 5000,
  mixture: { drawn: [3, 4] },
  learningRate: 0.001,
  updates: 10,
  sources: [{ name: 'fr', weight: 1, stages: STAGES }],
  tokenizer: 'abc',
  firstNewToken: 300,
  best: { language: 'fr', step: 5, loss: 4, since: 2 },
  base: { path: '/models/base', weights: { 'model.safetensors': 'abc' } },
};
const RESOLVED: ResolvedRun = {
  format: RUN_FORMAT,
  name: 'french',
  method: 'scratch',
  model: modelConfig({
    ...{ preset: 'tiny', vocabSize: 300, ...traitsOf('gemma2'), queryPreAttnScalar: 24, slidingWindow: 8 },
    ...{ slidingWindowPattern: 2, attnLogitSoftcapping: 50, finalLogitSoftcapping: 30 },
  }),
  parameters: { total: 9, withoutEmbeddings: 5, multiplied: 9, nominal: 'tiny' },
  flopsPerToken: 54,
  sources: [{ name: 'fr', path: 'data/fr', weight: 1, stages: STAGES, trainTokens: 1000 }],
  heldOut: { fr: 'data/fr' },
  weighted: true,
  documentEnd: 0,
  tokenizer: 'abc',
  tokens: 1000,
  steps: 10,
  contextLength: 10,
  batchTokens: 100,
  microBatch: 10,
  checkpointing: 'none',
  precision: 'f32',
  momentType: 'f32',
  gradientStorage: 'f32',
  offload: 'none',
  weightType: 'f32',
  schedule: {
    schedule: 'wsd',
    learningRate: 1e-3,
    warmup: 0.1,
    minLearningRateRatio: 0.1,
    decay: 0.2,
    cooldown: 0.2,
    constantLearningRateRatio: 0.5,
    cooldownShape: 'cosine',
    annealShape: 'exponential',
  },
  optimizerState: 'reset',
  dataOrder: 'new',
  freezeBodySteps: 0,
  parameterGroups: [
    { match: ['*norm*'], learningRate: 0.5, weightDecay: 0, frozenSteps: 4 },
    { match: ['model.layers.0.*'], frozen: true },
    { match: ['model.embed_tokens.weight'], keptRows: 290 },
  ],
  lora: { rank: 8, alpha: 16, targets: ['q_proj', 'down_proj'], baseType: 'bf16' },
  optimizer: { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 },
  maxSkippedSteps: 5,
  spikeFactor: 0,
  emaDecay: 0.99,
  seed: 0,
  dataSeed: 0,
  evaluations: 2,
  evalTokens: null,
  evaluation: { tokens: { fr: 99 }, batch: 5 },
  probes: 2,
  checkpoints: 1,
  keepCheckpoints: 2,
  keepEvery: 0,
  keepBest: 'fr',
  stopAfter: 3,
  parallel: 'data',
  syncEvery: 50,
  outerLearningRate: 0.7,
  outerMomentum: 0.9,
  gradientType: 'f32',
  adapter: null,
};
const RUN =
  'out: runs/x\nsources:\n  - name: en\n    path: data/en\n  - { name: fr, path: "data/fr", weight: [{ until: 0.5, weight: 2 }, { until: 1, weight: 2, to: 1 }] }\npreset: tiny\ntokens: 20_000\nheldOut: { en: data/en }\nschedule: wsd\nlearningRate: 1e-3\nemaDecay: 0.99\nlora: { rank: 8, targets: [q_proj, v_proj] }\nparameterGroups:\n  - { match: ["*norm*"], learningRate: 0.5, weightDecay: 0, from: 40% }\n  - { match: [model.embed_tokens.weight], newRows: true }\n';
const prepareRun = (folder: string) =>
  void writeRun(join(folder, '..'), { name: 'place', sources: { fr: 1 }, heldOut: { fr: [6, 5, 4], en: [4, 4, 4] } });

function readReport(_: string, folder: string): void {
  const run = readRun(folder);
  compareRuns([run]);
  knownForgetting([run]);
  for (const language of languagesOf([run])) {
    curveOf(run, language, 'nats per token');
  }
  probeFindings([run]);
}

/** Leaves out what is broken, after which nothing is. */
function leaveOutBadLines(path: string): void {
  const notes = new MetricsFile(path).truncate(2, true);
  if (new MetricsFile(path).truncate(2).length > 0) throw new Error('broken lines are left');
  if (notes.length > 0) throw new UserError(notes[0]!);
}

export const runs: readonly Format[] = [
  {
    name: 'metrics.jsonl',
    file: 'metrics.jsonl',
    inputs: 6000,
    whole: METRICS,
    mutate: mutateLines,
    prepare: prepareRun,
    read: readReport,
  },
  {
    name: 'metrics.jsonl, of which a run goes on',
    file: 'metrics.jsonl',
    inputs: 6000,
    whole: METRICS,
    mutate: mutateLines,
    read: path => new MetricsFile(path).truncate(2),
  },
  {
    name: 'metrics.jsonl, of which a run goes on without its bad lines',
    file: 'metrics.jsonl',
    inputs: 3000,
    whole: METRICS,
    mutate: mutateLines,
    read: leaveOutBadLines,
  },
  {
    name: "a run's config.json",
    file: 'config.json',
    inputs: 5000,
    whole: fileOf('run', 'config.json'),
    mutate: mutateJson,
    prepare: prepareRun,
    read: readReport,
  },
  {
    name: 'the configuration that a run goes on with',
    file: 'config.json',
    inputs: 5000,
    whole: text(RESOLVED),
    mutate: mutateJson,
    read: (_, folder) => readRunConfig(folder),
  },
  {
    name: 'health.jsonl',
    file: 'health.jsonl',
    inputs: 2000,
    whole: HEALTH,
    mutate: mutateLines,
    prepare: prepareRun,
    read: (_, folder) => readRunHealth(folder, HEALTH_LIMITS, 2),
  },
  {
    name: 'training.json',
    file: 'training.json',
    inputs: 5000,
    whole: text(TRAINING),
    mutate: mutateJson,
    read: (_, folder) => [readTrainingRecord(folder), originOf(folder)],
  },
  {
    name: 'run.yaml',
    file: 'run.yaml',
    inputs: 2000,
    whole: Buffer.from(RUN),
    mutate: mutateYaml,
    read: path => {
      const fields = readYaml(path);
      newModel(parseConfig(fields, `'${path}'`), 300);
      parseFields(fields, `'${path}'`);
    },
  },
];
