/** What a sweep of learning rates runs: a run's configuration, made short. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { findModelFolder } from '../checkpoint/find.js';
import { UserError } from '../errors.js';
import { writeFileWhole } from '../files.js';
import { readJson } from '../input-files.js';
import type { RunConfig } from '../run/config.js';
import { type DryRun, dryRun } from '../run/dry-run.js';
import { inWords, whyInvalid } from '../schema.js';

/** The share of a run's budget that each of the short runs has where nothing else is asked for. */
const SHARE = 0.1;
/** The fewest steps of a short run, unless the run itself has fewer: below, warm-up is most of what is seen. */
const FEWEST_STEPS = 100;

export interface SweepOptions {
  readonly folder: string;
  /** The model to continue (CPT): a checkpoint, a model folder, or a run. */
  readonly from?: string | undefined;
  /** The tokens of each short run; by default a tenth of the run's, and 100 steps at least. */
  readonly tokens?: number | undefined;
  /** The quotient of neighbouring rates at first. */
  readonly factor: number;
  /** Whose held-out loss is made least; by default the language that the run is mostly trained on. */
  readonly language?: string | undefined;
}

export interface SweepPlan {
  readonly folder: string;
  /** A short run, but for its learning rate, its seed and its folder. */
  readonly config: RunConfig;
  readonly from?: string | undefined;
  /** The run's own rate, about which the first are tried. */
  readonly rate: number;
  readonly factor: number;
  readonly language: string;
  /** A short run, resolved. */
  readonly short: DryRun;
  /** The budget of the run that the rate is for. */
  readonly runTokens: number;
}

/**
 * Plans the sweep of a run; writes nothing.
 * @throws UserError when configuration, data and adapter don't fit together, or the folder holds something else.
 */
export async function planSweep(config: RunConfig, options: SweepOptions): Promise<SweepPlan> {
  const from = options.from === undefined ? undefined : findModelFolder(options.from);
  const { run } = await dryRun(config, { from });
  const language = languageOf(run, options.language);
  const wanted = options.tokens ?? Math.min(run.tokens, Math.max(SHARE * run.tokens, FEWEST_STEPS * run.batchTokens));
  const steps = Math.round(wanted / run.batchTokens);
  if (steps < 1) {
    throw new UserError(
      `--tokens ${wanted} is less than one batch of ${run.batchTokens}; raise it or lower batchTokens`,
    );
  }
  const tokens = steps * run.batchTokens;
  const short = shortened(config, tokens, run.tokens);
  const plan = { folder: options.folder, config: short, from, factor: options.factor, language, runTokens: run.tokens };
  const planned = { ...plan, rate: run.schedule.learningRate, short: await dryRun(short, { from }) };
  checkFolder(planned);
  return planned;
}

/**
 * Returns a run of `tokens` in the place of `before`: shares of the run stay shares, and what is frozen for some tokens
 * is frozen for the same share. It is evaluated and saved at its beginning and its end.
 */
function shortened(config: RunConfig, tokens: number, before: number): RunConfig {
  const { freezeBodyTokens, parameterGroups } = config;
  const scaled = (count: number) => Math.max(config.batchTokens ?? 1, (count * tokens) / before);
  return {
    ...config,
    tokens,
    tokensPerParameter: undefined,
    epochs: undefined,
    freezeBodyTokens: freezeBodyTokens && scaled(freezeBodyTokens),
    parameterGroups: parameterGroups?.map(group =>
      typeof group.from === 'number' ? { ...group, from: scaled(group.from) } : group,
    ),
    probeEveryTokens: undefined,
    keepBest: undefined,
    stopAfter: undefined,
    evalEveryTokens: tokens,
    checkpointEveryTokens: tokens,
    keepCheckpoints: 1,
    keepEvery: 0,
    tuneSeconds: 0, // so that all runs take the same kernels
  };
}

function languageOf({ heldOut, sources }: DryRun['run'], asked: string | undefined): string {
  const main = sources.reduce((best, source) => (source.weight > best.weight ? source : best)).name;
  const language = asked ?? main;
  if (language in heldOut) return language;
  const names = Object.keys(heldOut).join(', ');
  throw new UserError(
    `there is no held-out set of '${language}', whose loss is to be made least; choose one of ${names} with --language`,
  );
}

const FILE = 'sweep.json';
const FORMAT = 'babelgrad learning-rate sweep 1';
const fileSchema = z.looseObject({ format: z.literal(FORMAT) });

/** What makes a sweep the same sweep: seeds and rates may be added later. */
const identityOf = ({ config, from, rate, factor }: SweepPlan): unknown =>
  JSON.parse(
    JSON.stringify({ format: FORMAT, rate, factor, from, config: { ...config, out: '', learningRate: rate } }),
  );

/** Checks that a sweep may go into its folder. @throws UserError when that holds something else. */
function checkFolder(plan: SweepPlan): void {
  const { folder } = plan;
  const path = join(folder, FILE);
  if (existsSync(path)) {
    const { success, data, error } = fileSchema.safeParse(readJson(path), inWords);
    if (!success) throw new UserError(`'${path}' is not that of a sweep (${FORMAT}): ${whyInvalid(error)}`);
    if (isDeepStrictEqual(data, identityOf(plan))) return;
    throw new UserError(
      `'${folder}' holds the sweep of a run with other settings; choose another folder with --out, ` +
        'or give the settings that it was started with',
    );
  }
  if (existsSync(folder) && readdirSync(folder).some(name => !name.startsWith('claim'))) {
    throw new UserError(`'${folder}' holds something else than a sweep; choose another folder with --out`);
  }
}

/** Writes what the sweep is into its folder, for a caller that has claimed it. @throws UserError as `planSweep`. */
export function writeSweep(plan: SweepPlan): void {
  checkFolder(plan);
  writeFileWhole(join(plan.folder, FILE), `${JSON.stringify(identityOf(plan), null, 2)}\n`);
}
