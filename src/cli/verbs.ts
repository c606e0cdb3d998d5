/** The verbs in the order of the help. What a verb's options are, and what it does, is loaded when it is asked for. */
import type { Command } from 'commander';

interface Verb {
  readonly name: string;
  readonly description: string;
  /** Returns what adds the verb's options, or its own commands. */
  load(): Promise<(command: Command) => void>;
}

const data = () => import('./verbs/data.js');
const train = () => import('./verbs/train.js');
const model = () => import('./verbs/model.js');
const runs = () => import('./verbs/runs.js');
const measure = () => import('./verbs/measure.js');
const laws = () => import('./verbs/laws.js');

/** The verbs by what they are for. */
export const VERBS: Readonly<Record<string, readonly Verb[]>> = {
  'First steps:': [
    {
      name: 'demo',
      description: 'English, then French from scratch and by continual pre-training, in a few minutes on a CPU',
      load: async () => (await runs()).describeDemo,
    },
    {
      name: 'adapters',
      description: 'list the adapters of this machine, and say which one is used and why',
      load: async () => (await runs()).describeAdapters,
    },
    {
      name: 'init',
      description: 'write the commented file of a run, from a few flags or questions',
      load: async () => (await train()).describeInit,
    },
    {
      name: 'completion',
      description: "print a shell's script that completes commands, flags, their values and files",
      load: async () => (await runs()).describeCompletion,
    },
  ],
  'Text to tokens:': [
    { name: 'tokenizer', description: 'make tokenizers', load: async () => (await data()).describeTokenizer },
    {
      name: 'tokenize',
      description: 'turn text files into token shards with a held-out split',
      load: async () => (await data()).describeTokenize,
    },
    {
      name: 'vocab',
      description: 'change the vocabulary of models',
      load: async () => (await data()).describeVocab,
    },
  ],
  'Training:': [
    {
      name: 'train',
      description: 'train a model from random weights',
      load: async () => (await train()).describeTrain,
    },
    {
      name: 'cpt',
      description: 'continue the training of a model, for instance into a new language',
      load: async () => (await train()).describeCpt,
    },
    {
      name: 'resume',
      description: 'go on with a run from its latest checkpoint, to the same bits as if it had never stopped',
      load: async () => (await train()).describeResume,
    },
    {
      name: 'tune',
      description: 'find the fastest kernel variants on this adapter, a learning rate or a batch size',
      load: async () => (await import('./verbs/tune.js')).describeTune,
    },
    {
      name: 'study',
      description: 'many runs from one file: sizes x source, scratch and CPT x languages x replay x seeds',
      load: async () => (await import('./verbs/study.js')).describeStudy,
    },
    {
      name: 'watch',
      description: 'show a study, a run or a folder of runs in a browser while they go on',
      load: async () => (await runs()).describeWatch,
    },
  ],
  'Models and findings:': [
    {
      name: 'eval',
      description: 'evaluate models',
      load: async () => (await import('./verbs/eval.js')).describeEval,
    },
    {
      name: 'generate',
      description: 'continue prompts with a model',
      load: async () => (await model()).describeGenerate,
    },
    {
      name: 'export',
      description: "a model as a folder in Hugging Face's layout, in f32, f16 or bf16",
      load: async () => (await model()).describeExport,
    },
    {
      name: 'merge',
      description: 'one model out of several: the mean of their weights or, with --base, base + w (model - base)',
      load: async () => (await model()).describeMerge,
    },
    {
      name: 'report',
      description: 'compare runs: a table, and one HTML page with their curves',
      load: async () => (await runs()).describeReport,
    },
    {
      name: 'verify',
      description: 'compare the files of checkpoints and data sets with their checksums',
      load: async () => (await runs()).describeVerify,
    },
  ],
  'Scaling laws:': [
    {
      name: 'fit',
      description: 'fit a scaling law to points: parameters, tokens and loss, one point a row',
      load: async () => (await laws()).describeFit,
    },
    {
      name: 'plan',
      description: 'the best model size and tokens by a law, its loss, and what CPT saves over training from scratch',
      load: async () => (await laws()).describePlan,
    },
  ],
  'Adapters under test:': [
    {
      name: 'audit',
      description: 'say how right the numbers of an adapter and of a run are',
      load: async () => (await import('./verbs/audit.js')).describeAudit,
    },
    {
      name: 'bench',
      description: "measure kernels and training steps against the adapter's own ceilings, and against other engines",
      load: async () => (await measure()).describeBench,
    },
    {
      name: 'profile',
      description: 'where the time of a training step, an evaluation or decoding goes, kernel by kernel',
      load: async () => (await measure()).describeProfile,
    },
  ],
};
