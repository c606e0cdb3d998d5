/** Every format that is read: a small sound file of it, how it is changed, and all that reads it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { readProblem } from '../../src/audit/replay.js';
import { AUDIT_FORMAT, readAudit } from '../../src/audit/report.js';
import { readRunHealth } from '../../src/audit/run-health.js';
import { readCompanions, withMarks } from '../../src/checkpoint/companions.js';
import { hfConfig, readEndIds, readModelConfig, readTokenIds } from '../../src/checkpoint/hf-config.js';
import { checkModelFolder } from '../../src/checkpoint/model-folder.js';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.js';
import { originOf, readTrainingRecord } from '../../src/checkpoint/training-record.js';
import { WeightFiles } from '../../src/checkpoint/weight-files.js';
import { isByteLevel, untrainedBpe } from '../../src/data/bpe-file.js';
import { safeCuts } from '../../src/data/cuts.js';
import { documentMarks, readDocumentMarks } from '../../src/data/document-marks.js';
import { readDocuments } from '../../src/data/documents.js';
import { readParquetRows } from '../../src/data/parquet.js';
import { INDEX_FORMAT, TokenDataset } from '../../src/data/shards.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import {
  idsBeforeText,
  largestTokenId,
  mergesOf,
  parseTokenizerFile,
  replacementsOf,
  withoutSpecialTokens,
  withoutTextPrefix,
} from '../../src/data/tokenizer-file.js';
import { UserError } from '../../src/errors.js';
import { sha256 } from '../../src/hash.js';
import { readText } from '../../src/input-files.js';
import { countParameters, parameterSpecs } from '../../src/model/config.js';
import { modelConfig } from '../../src/model/fields.js';
import { knownForgetting } from '../../src/report/forgetting.js';
import { compareRuns, curveOf, languagesOf, readRun } from '../../src/report/runs.js';
import { parseConfig, parseFields } from '../../src/run/config.js';
import { readRunConfig } from '../../src/run/folder.js';
import { HEALTH_LIMITS } from '../../src/run/health.js';
import { newModel, type ResolvedRun, RUN_FORMAT } from '../../src/run/resolve.js';
import { readYaml } from '../../src/run/yaml.js';
import { parseFit } from '../../src/scaling/fit-result.js';
import { parsePoints } from '../../src/scaling/points.js';
import { readStudyPlan } from '../../src/study/plan.js';
import { pointsCsv, studyPoints } from '../../src/study/points.js';
import { parseStudyPoints } from '../../src/study/read-points.js';
import { readStudy } from '../../src/study/state.js';
import { readTask } from '../../src/tasks/task.js';
import { isOpFile, readOp } from '../../src/train/recorded-op.js';
import { cachePath, readCache, writeCache } from '../../src/tune/cache.js';
import { LAYOUTS, safetensors, tensorsOf, writeCheckpoint } from '../support/checkpoints.js';
import { writeRun } from '../support/runs.js';
import { makeRun, makeStudy } from '../support/study.js';
import { adapter, requestsOf, tunedFrom } from '../support/tuned.js';
import { type Mutate, mutateBytes, mutateHeader, mutateJson, mutateLines, mutateTable, mutateYaml } from './mutate.js';

export interface Format {
  readonly name: string;
  readonly file: string;
  /** The number of inputs of a short run. */
  readonly inputs: number;
  readonly whole: Buffer;
  readonly mutate: Mutate;
  /** Writes what stands beside the file. */
  readonly prepare?: (folder: string) => void;
  readonly read: (path: string, folder: string) => unknown;
}

/** Files of the sound model, data set, run, study and cache that others are changed from. */
const sound = mkdtempSync(join(tmpdir(), 'babelgrad-sound-'));
process.on('exit', () => rmSync(sound, { recursive: true, force: true }));
const fileOf = (...path: string[]): Buffer => readFileSync(join(sound, ...path));
const text = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const lines = (values: readonly unknown[]): Buffer => Buffer.from(values.map(v => `${JSON.stringify(v)}\n`).join(''));

async function all(documents: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of documents);
}

// a model
const SMOL = LAYOUTS['SmolLM, BF16, tied, 3 heads to 1']!;
const SHARDED = LAYOUTS['Mistral, BF16, sharded, heads narrower than the model']!;
const LLAMA3 = { ...SMOL.config, rope_parameters: { rope_type: 'llama3', factor: 8, low_freq_factor: 1 } };
const tensors = safetensors(new Map([...tensorsOf(SMOL.config, 'BF16')].slice(0, 4)));
writeCheckpoint(join(sound, 'sharded'), SHARDED);

function readSafetensors(path: string): void {
  const file = SafetensorsFile.open(path);
  try {
    for (const name of file.names) for (const _ of file.pieces(name, file.shape(name)));
  } finally {
    file.close();
  }
}

function readConfig(_: string, folder: string): void {
  const config = readModelConfig(folder);
  hfConfig(config, 'F32', readTokenIds(folder));
  parameterSpecs(config);
  countParameters(config);
}

const configs: readonly Format[] = [
  {
    name: 'safetensors',
    file: 'model.safetensors',
    inputs: 8000,
    whole: tensors,
    mutate: mutateHeader,
    read: readSafetensors,
  },
  {
    name: 'the index of safetensors',
    file: 'model.safetensors.index.json',
    inputs: 3000,
    whole: fileOf('sharded', 'model.safetensors.index.json'),
    mutate: mutateJson,
    prepare: folder => void writeCheckpoint(folder, SHARDED),
    read: (_, folder) => WeightFiles.open(folder).close(),
  },
  {
    name: 'config.json',
    file: 'config.json',
    inputs: 12_000,
    whole: text(SMOL.config),
    mutate: mutateJson,
    read: readConfig,
  },
  {
    name: 'config.json with scaled positions',
    file: 'config.json',
    inputs: 4000,
    whole: text({
      ...LLAMA3,
      rope_parameters: { ...LLAMA3.rope_parameters, high_freq_factor: 4, original_max_position_embeddings: 64 },
    }),
    mutate: mutateJson,
    read: readConfig,
  },
  {
    name: 'config.json beside weights',
    file: 'config.json',
    inputs: 3000,
    whole: text(SMOL.config),
    mutate: mutateJson,
    prepare: folder => void writeCheckpoint(folder, SMOL),
    read: (_, folder) => checkModelFolder(folder),
  },
  {
    name: 'generation_config.json',
    file: 'generation_config.json',
    inputs: 4000,
    whole: text({ bos_token_id: 1, eos_token_id: [0, 2], pad_token_id: null, do_sample: true }),
    mutate: mutateJson,
    prepare: folder => void writeCheckpoint(folder, SMOL),
    read: (_, folder) => readEndIds(folder),
  },
];

// a tokenizer: added tokens of both kinds, steps of every part, and merges
const own = JSON.parse(untrainedBpe()) as { added_tokens: object[]; model: object } & Record<string, unknown>;
const TOKENIZER = text({
  ...own,
  added_tokens: [
    ...own.added_tokens,
    { ...own.added_tokens[0], id: 4, content: '<s>' },
    { ...own.added_tokens[0], id: 5, content: 'x y', special: false },
  ],
  normalizer: {
    type: 'Sequence',
    normalizers: [{ type: 'NFC' }, { type: 'Replace', pattern: { String: ' ' }, content: '_' }],
  },
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<s>': { id: '<s>', ids: [4], tokens: ['<s>'] } },
  },
  model: { ...own.model, vocab: { '<|endoftext|>': 0, a: 1, b: 2, ab: 3 }, merges: [['a', 'b']] },
});

function readTokenizer(path: string): void {
  const json = readText(path);
  const file = parseTokenizerFile(json, path);
  documentMarks(file, {});
  largestTokenId(json, path);
  mergesOf(file);
  replacementsOf(file);
  idsBeforeText(file);
  isByteLevel(json);
  for (const areText of [true, false]) safeCuts(file, areText)?.('a b', 2);
  withoutSpecialTokens(json);
  withoutTextPrefix(json);
}

const tokenizers: readonly Format[] = [
  {
    name: 'tokenizer.json',
    file: 'tokenizer.json',
    inputs: 10_000,
    whole: TOKENIZER,
    mutate: mutateJson,
    read: readTokenizer,
  },
  {
    name: 'tokenizer.json, in native code',
    file: 'tokenizer.json',
    inputs: 40,
    whole: TOKENIZER,
    mutate: mutateJson,
    read: path => TextTokenizer.load(path).encode('a ab x y <s> é'),
  },
  {
    name: 'tokenizer_config.json',
    file: 'tokenizer_config.json',
    inputs: 3000,
    whole: text({ eos_token: { content: '<|endoftext|>' }, bos_token: '<s>', add_bos_token: true }),
    mutate: mutateJson,
    prepare: folder => {
      writeCheckpoint(folder, SMOL);
      writeFileSync(join(folder, 'tokenizer.json'), TOKENIZER);
    },
    read: (_, folder) => {
      const path = join(folder, 'tokenizer.json');
      withMarks(readCompanions(folder), readText(path), readDocumentMarks(path));
    },
  },
];

// a data set
const ids = Buffer.from(Uint16Array.from({ length: 200 }, (_, i) => i % 4).buffer);
const INDEX = {
  format: INDEX_FORMAT,
  dtype: 'u16',
  vocabSize: 6,
  separatorId: 0,
  startIds: [4],
  specialTokens: { as: 'text', spelled: 0 },
  tokenizer: sha256(TOKENIZER),
  shards: [
    { file: 'train-00000.bin', tokens: 200, documents: 20 },
    { file: 'train-00001.bin', tokens: 200, documents: 20 },
  ],
  heldOut: { file: 'heldout.bin', tokens: 200, documents: 20 },
  text: { bytes: 900, documents: 60 },
  sources: [{ file: 'en.txt', documents: 60 }],
};

function writeTokens(folder: string): void {
  writeFileSync(join(folder, 'index.json'), JSON.stringify(INDEX));
  writeFileSync(join(folder, 'tokenizer.json'), TOKENIZER);
  for (const file of ['train-00000.bin', 'train-00001.bin', 'heldout.bin']) writeFileSync(join(folder, file), ids);
}

function readTokens(_: string, folder: string): void {
  const dataset = TokenDataset.open(folder);
  try {
    dataset.readTrain(0, Math.min(1000, dataset.trainTokens));
    dataset.readHeldOut(0, Math.min(1000, dataset.heldOutTokens));
  } finally {
    dataset.close();
  }
}

const DOCUMENTS = lines([{ text: 'Ab cé 漢字.', id: 1 }, { text: '' }, { text: '\u0000"\\', more: { a: [1, null] } }]);
const CHOICES = lines([
  { context: 'a', choices: ['b', 'c'], answer: 1 },
  { context: '', choices: ['b', 'c', 'd'], answer: '0' },
]);
const PARQUET = Buffer.from(
  parquetWriteBuffer({
    columnData: [{ name: 'text', data: ['one', 'two', 'one', 'é'], type: 'STRING' }],
    rowGroupSize: 2,
  }),
);
const documents = (name: string, file: string, whole: Buffer, mutate: Mutate, inputs: number): Format => ({
  name,
  file,
  inputs,
  whole,
  mutate,
  read: path => all(readDocuments(path)),
});

const data: readonly Format[] = [
  {
    name: 'the index of tokens',
    file: 'index.json',
    inputs: 6000,
    whole: text(INDEX),
    mutate: mutateJson,
    prepare: writeTokens,
    read: readTokens,
  },
  {
    name: 'a shard of tokens',
    file: 'train-00001.bin',
    inputs: 2000,
    whole: ids,
    mutate: mutateBytes,
    prepare: writeTokens,
    read: readTokens,
  },
  documents('lines of JSON', 'a.jsonl', DOCUMENTS, mutateLines, 6000),
  documents('lines of JSON, gzip', 'a.jsonl.gz', gzipSync(DOCUMENTS), mutateBytes, 2500),
  documents(
    'lines of JSON, Zstandard',
    'a.jsonl.zst',
    readFileSync('test/fixtures/data/two-documents.jsonl.zst'),
    mutateBytes,
    2500,
  ),
  documents('text', 'a.txt', Buffer.from('Ab cé 漢字.\n'.repeat(20)), mutateBytes, 1500),
  {
    name: 'questions',
    file: 'a.jsonl',
    inputs: 3000,
    whole: CHOICES,
    mutate: mutateLines,
    read: path => readTask('multiple_choice', [path]),
  },
  {
    name: 'Parquet',
    file: 'a.parquet',
    inputs: 60,
    whole: PARQUET,
    mutate: mutateBytes,
    read: path => all(readParquetRows(path, 'text', undefined, 3)),
  },
];

// a run, and what is fitted to runs
writeRun(sound, {
  name: 'run',
  sources: { fr: 0.9, en: 0.1 },
  heldOut: { fr: [6, 5, 4], en: [4, 4.1, 4.2] },
  checkpoint: 'x/y/z',
});
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
  sources: [{ name: 'fr', weight: 1 }],
  tokenizer: 'abc',
};
const RESOLVED: ResolvedRun = {
  format: RUN_FORMAT,
  name: 'french',
  method: 'scratch',
  model: modelConfig({ preset: 'tiny', vocabSize: 300 }),
  parameters: { total: 9, withoutEmbeddings: 5, multiplied: 9, nominal: 'tiny' },
  flopsPerToken: 54,
  sources: [{ name: 'fr', path: 'data/fr', weight: 1, trainTokens: 1000 }],
  heldOut: { fr: 'data/fr' },
  tokenizer: 'abc',
  tokens: 1000,
  steps: 10,
  contextLength: 10,
  batchTokens: 100,
  microBatch: 10,
  checkpointing: 'none',
  precision: 'f32',
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
  freezeBodySteps: 0,
  optimizer: { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 },
  maxSkippedSteps: 5,
  spikeFactor: 0,
  seed: 0,
  dataSeed: 0,
  evaluations: 2,
  evalTokens: null,
  evaluation: { tokens: { fr: 99 }, batch: 5 },
  checkpoints: 1,
  keepCheckpoints: 2,
  keepEvery: 0,
  parallel: 'data',
  syncEvery: 50,
  outerLearningRate: 0.7,
  outerMomentum: 0.9,
  gradientType: 'f32',
  adapter: null,
};
const RUN =
  'out: runs/x\nsources:\n  - name: en\n    path: data/en\n  - { name: fr, path: "data/fr", weight: 2 }\npreset: tiny\ntokens: 20_000\nheldOut: { en: data/en }\nschedule: wsd\nlearningRate: 1e-3\n';
const prepareRun = (folder: string) =>
  void writeRun(join(folder, '..'), { name: 'place', sources: { fr: 1 }, heldOut: { fr: [6, 5, 4], en: [4, 4, 4] } });

function readReport(_: string, folder: string): void {
  const run = readRun(folder);
  compareRuns([run]);
  knownForgetting([run]);
  for (const language of languagesOf([run])) {
    curveOf(run, language, 'nats per token');
  }
}

const runs: readonly Format[] = [
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

// a study, and the laws of its points
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
strategies: [source, scratch, cpt]
sizes:
  - name: s
    preset: tiny
    tokens: 20_000
  - { name: m, preset: mini, tokens: 50_000, targets: [fr] }
train: { contextLength: 64 }
replay:
  - ratios: [0.1, 0.3]
    account: [extra, budget]
seeds: [0, 1]
`;

const studies: readonly Format[] = [
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

// what was tuned, audited and kept
writeCache(sound, adapter, requestsOf().map(tunedFrom));
const cacheFile = cachePath('', adapter);
const CHECK = {
  kernel: 'k',
  variant: 'v',
  shape: '4',
  inputClass: 'c',
  metric: 'error',
  value: 0.5,
  bound: 1,
  passed: true,
};
const AUDIT = {
  format: AUDIT_FORMAT,
  version: '0.1.0',
  adapter: { name: 'a', driver: 'd', subgroupSizes: [32], features: ['shader-f16'] },
  quick: true,
  seconds: 1,
  arithmetic: { fma: 'yes' },
  passed: 1,
  failed: 0,
  checks: [CHECK],
  histograms: [{ kernel: 'k', variant: 'v', counts: [1, 2] }],
};
const PROBLEM = {
  format: 'babelgrad-problem-2',
  family: 'rmsnorm',
  kernel: 'rmsnorm_forward',
  shape: 'f32 3 x 5',
  inputClass: 'normal',
  worst: { variant: 'default', metric: 'error', value: null, output: 'y', index: 3 },
  given: { x: 'AAAAAAAA8D8=' },
};
const OP = {
  format: 'babelgrad-op-1',
  op: 'add',
  adapter: 'a',
  found: { tensor: 'x', index: 0, value: 'NaN' },
  buffers: [{ name: 'x', sizeBytes: 16, type: 'f32' }],
  results: [{ name: 'x', buffer: 0, type: 'f32', count: 4 }],
  calls: [
    {
      label: 'l',
      source: '',
      params: [1, { f32: 2 }],
      workgroups: [1, 1, 1],
      buffers: [{ buffer: 0, offsetBytes: 0, sizeBytes: 16 }],
    },
  ],
};

/** A file that begins with the length of a JSON header. */
function withHeader(header: unknown, rest: Buffer): Buffer {
  const json = text(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, rest]);
}

const findings: readonly Format[] = [
  {
    name: 'tuned variants',
    file: cacheFile,
    inputs: 800,
    whole: fileOf(cacheFile),
    mutate: mutateJson,
    // what does not count is told in a note, and nothing is refused
    read: (_, folder) => {
      const { note } = readCache(folder, adapter);
      if (note !== undefined) throw new UserError(note);
    },
  },
  {
    name: 'an audit',
    file: 'audit.json',
    inputs: 2000,
    whole: text(AUDIT),
    mutate: mutateJson,
    read: path => readAudit(path),
  },
  {
    name: 'a problem of an audit',
    file: 'problem.json',
    inputs: 2000,
    whole: text(PROBLEM),
    mutate: mutateJson,
    read: path => readProblem(path),
  },
  {
    name: 'a recorded op',
    file: 'op',
    inputs: 3000,
    whole: withHeader(OP, Buffer.alloc(16)),
    mutate: mutateHeader,
    read: path => [isOpFile(path), readOp(path)],
  },
];

export const FORMATS: readonly Format[] = [...configs, ...tokenizers, ...data, ...runs, ...studies, ...findings];
