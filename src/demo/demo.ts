/**
 * The demonstration: a small English model, then French from scratch and by continual pre-training with the same
 * budget, on the text that ships with the project.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { tokenizeFiles } from '../data/tokenize.js';
import { TextTokenizer } from '../data/tokenizer.js';
import { trainTokenizer } from '../data/tokenizer-train.js';
import { packageRoot, writeFileWhole } from '../files.js';
import { openDevice } from '../gpu/open-device.js';
import { madeBy } from '../report/made.js';
import { reportPage } from '../report/page.js';
import { type Comparison, compareRuns, type RunRecord, readRun } from '../report/runs.js';
import { parseConfig } from '../run/config.js';
import type { TrainObserver } from '../run/context.js';
import { startOrResumeRun } from '../run/start.js';

/** These sizes are such that two slow cores get through the demonstration in a few minutes. */
const VOCAB_SIZE = 1024;
const HELD_OUT_TOKENS = 4096;
const SOURCE_TOKENS = 200_000;
const TARGET_TOKENS = 120_000;
const REPLAY = 0.1;

export interface DemoOptions {
  /** The folder for data and runs; what an earlier demo has done in it is kept. */
  readonly out: string;
  readonly adapter?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Is told of each stage; a stage that trains takes the observer that this returns. */
  onStage(stage: string): TrainObserver;
}

export interface DemoResult {
  readonly runs: readonly RunRecord[];
  readonly comparisons: readonly Comparison[];
  readonly report: string;
}

/** Returns the first of NAME, NAME-2, NAME-3 … that does not exist. */
export function freeFolder(name: string): string {
  for (let n = 1; ; n++) {
    const folder = n === 1 ? name : `${name}-${n}`;
    if (!existsSync(folder)) return folder;
  }
}

/** Runs the demonstration. @returns nothing when it was aborted; the same call goes on from there. */
export async function runDemo({ out, adapter, signal, onStage }: DemoOptions): Promise<DemoResult | undefined> {
  onStage('data');
  const text = (language: string) => join(packageRoot, 'src', 'demo', 'text', `${language}.jsonl.gz`);
  const languages = ['en', 'fr'];
  const vocabulary = join(out, 'tokenizer.json');
  const tokenizer = existsSync(vocabulary)
    ? TextTokenizer.load(vocabulary)
    : await trainTokenizer(languages.map(text), { vocabSize: VOCAB_SIZE, field: 'text', out: vocabulary });
  const data = (language: string) => join(out, 'data', language);
  for (const language of languages) {
    if (existsSync(data(language))) continue;
    await tokenizeFiles([text(language)], {
      tokenizer,
      field: 'text',
      out: data(language),
      heldOutTokens: HELD_OUT_TOKENS,
    });
  }

  const device = await openDevice({ adapter });
  try {
    const folder = (name: string) => join(out, name);
    const common = { heldOut: { en: data('en'), fr: data('fr') }, evalTokens: HELD_OUT_TOKENS, keepCheckpoints: 1 };
    const french = { name: 'fr', path: data('fr') };
    const english = { name: 'en', path: data('en') };
    const run = async (name: string, fields: Record<string, unknown>, from?: string) => {
      if (signal?.aborted) return;
      const config = parseConfig({ ...common, ...fields, name, out: folder(name) }, 'the demo');
      await startOrResumeRun(config, { device, observer: onStage(name), signal, from });
    };
    const target = { tokens: TARGET_TOKENS, evalEveryTokens: TARGET_TOKENS / 12 };
    await run('english', {
      preset: 'tiny',
      sources: [english],
      tokens: SOURCE_TOKENS,
      evalEveryTokens: SOURCE_TOKENS / 6,
    });
    await run('french-scratch', { preset: 'tiny', sources: [french], ...target });
    const replayed = [
      { ...french, weight: 1 - REPLAY },
      { ...english, weight: REPLAY },
    ];
    await run('french-cpt', { sources: replayed, ...target }, folder('english'));
  } finally {
    device.close();
  }
  if (signal?.aborted) return undefined;

  const runs = ['english', 'french-scratch', 'french-cpt'].map(name => readRun(join(out, name)));
  const report = join(out, 'report.html');
  const title = 'English to French: continual pre-training against training from scratch';
  writeFileWhole(report, reportPage(runs, title, undefined, madeBy(`demo --out ${out}`)));
  return { runs, comparisons: compareRuns(runs), report };
}
