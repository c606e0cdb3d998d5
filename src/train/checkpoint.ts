/** Checkpoints of a run: a model folder with the optimizer's and the sampler's state beside it. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import type { MixtureState } from '../data/mixture.js';
import { UserError } from '../errors.js';
import { writeFileWhole, writeFolderWhole } from '../files.js';
import { type ModelConfig, parameterSpecs } from '../model/config.js';
import type { Model } from '../model/model.js';
import { whyInvalid } from '../schema.js';
import type { Companions } from './companions.js';
import { mixtureSchema, type Origin } from './continuation.js';
import { writeModel } from './model-folder.js';
import { SafetensorsFile } from './safetensors.js';
import { floatTensor, writeSafetensors } from './safetensors-write.js';
import type { Trainer } from './step.js';
import { hasWeights } from './weight-files.js';

const stateSchema = z.object({
  format: z.literal('babelgrad training state 1'),
  /** The run's name. */
  run: z.string(),
  step: z.int().nonnegative(),
  tokens: z.int().nonnegative(),
  flops: z.number().nonnegative(),
  parameters: z.int().positive(),
  mixture: z.object({ drawn: z.array(z.int().nonnegative()) }),
  /** The last step's rate, and the updates that the moments have seen; earlier checkpoints don't say. */
  learningRate: z.number().nonnegative().optional(),
  updates: z.int().nonnegative().optional(),
  /** What the run was trained on, and the SHA-256 of the tokenizer.json that made it; earlier checkpoints don't say. */
  sources: mixtureSchema.optional(),
  tokenizer: z.string().optional(),
});
export type TrainingState = z.infer<typeof stateSchema>;

/** The state of loss scaling, beside the moments. */
const SCALER = 'loss_scaling';

const FOLDER = /^step-(\d{8})$/;
export const checkpointFolder = (run: string, step: number): string =>
  join(run, 'checkpoints', `step-${String(step).padStart(8, '0')}`);

/** Checkpoints of a run, by step. Those that are there are whole: a folder appears when it is complete. */
export function listCheckpoints(run: string): { readonly step: number; readonly folder: string }[] {
  const folder = join(run, 'checkpoints');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .flatMap(name => {
      const match = FOLDER.exec(name);
      return match ? [{ step: Number(match[1]), folder: join(folder, name) }] : [];
    })
    .sort((a, b) => a.step - b.step);
}

export interface CheckpointContents {
  readonly model: Model;
  readonly trainer: Trainer;
  readonly tokenizerJson: string;
  /** What came with the model that the run started from. */
  readonly companions?: Companions | undefined;
  readonly state: Omit<TrainingState, 'format' | 'mixture'> & { readonly mixture: MixtureState };
}

/** Writes a checkpoint, then removes the oldest beyond `keep`. @returns its folder. */
export async function saveCheckpoint(run: string, keep: number, contents: CheckpointContents): Promise<string> {
  const { model, trainer, tokenizerJson, companions, state } = contents;
  const folder = checkpointFolder(run, state.step);
  await writeFolderWhole(folder, async target => {
    await writeModel(model, target, tokenizerJson, companions);
    const tensors = model.specs.flatMap(({ name, shape }) =>
      (['m', 'v'] as const).map(moment =>
        floatTensor(`${name}.${moment}`, shape, async () => (await trainer.moments(name))[moment]),
      ),
    );
    const scaler = await trainer.scaler();
    const scaling = scaler ? [floatTensor(SCALER, [scaler.length], async () => scaler)] : [];
    await writeSafetensors(join(target, 'optimizer.safetensors'), [...tensors, ...scaling]);
    const training = { format: 'babelgrad training state 1', ...state };
    writeFileWhole(join(target, 'training.json'), `${JSON.stringify(training, null, 2)}\n`);
  });
  for (const old of listCheckpoints(run).slice(0, -keep)) rmSync(old.folder, { recursive: true });
  return folder;
}

/** @throws UserError when the file is missing or damaged. */
export function readTrainingState(checkpoint: string): TrainingState {
  const path = join(checkpoint, 'training.json');
  try {
    return stateSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    throw new UserError(`'${path}' is missing or damaged: ${whyInvalid(error)}`);
  }
}

/** @throws UserError naming what is missing, or has another shape, for a model to go on with a checkpoint's moments. */
export function checkOptimizerState(checkpoint: string, config: ModelConfig): void {
  const path = join(checkpoint, 'optimizer.safetensors');
  const refuse = (why: string) => {
    throw new UserError(
      `optimizerState keep needs AdamW's moments of the source, but ${why}; use optimizerState reset`,
    );
  };
  if (!existsSync(path) || !existsSync(join(checkpoint, 'training.json'))) {
    refuse(
      `'${checkpoint}' has no optimizer.safetensors with a training.json (a model that was imported or exported, or whose vocabulary was extended, has none)`,
    );
  }
  const file = SafetensorsFile.open(path);
  try {
    for (const { name, shape } of parameterSpecs(config)) {
      for (const moment of [`${name}.m`, `${name}.v`]) {
        if (!file.names.includes(moment)) refuse(`'${path}' has no '${moment}'`);
        const found = file.shape(moment);
        if (found.join() !== shape.join()) {
          refuse(`in '${path}' '${moment}' has shape [${found.join(', ')}], and the model [${shape.join(', ')}]`);
        }
      }
    }
  } finally {
    file.close();
  }
}

/** Puts the optimizer's state of a checkpoint back. @throws UserError when it does not fit the model. */
export function restoreTrainer(trainer: Trainer, checkpoint: string, step: number): void {
  const file = SafetensorsFile.open(join(checkpoint, 'optimizer.safetensors'));
  try {
    const specs = new Map(trainer.model.specs.map(spec => [spec.name, spec]));
    const momentsOf = (name: string) => {
      const { shape } = specs.get(name)!;
      return { m: file.read(`${name}.m`, shape), v: file.read(`${name}.v`, shape) };
    };
    const hasScaler = file.names.includes(SCALER);
    const length = hasScaler && file.shape(SCALER)[0] === 6 ? 6 : 4;
    trainer.restore(step, momentsOf, hasScaler ? file.read(SCALER, [length]) : undefined);
  } finally {
    file.close();
  }
}

/** Weights as other formats name them. */
const OTHER_FORMATS = ['pytorch_model.bin', 'pytorch_model.bin.index.json', 'consolidated.00.pth'];

/**
 * Finds the model folder that a user means: a checkpoint or model folder itself, or a run, whose latest is taken.
 * @throws UserError when there is neither.
 */
export function findModelFolder(path: string): string {
  if (hasWeights(path)) return path;
  const latest = listCheckpoints(path).at(-1);
  if (latest) return latest.folder;
  const other = OTHER_FORMATS.find(file => existsSync(join(path, file)));
  if (other) throw new UserError(`'${path}' has ${other}, and only safetensors can be read; convert it`);
  throw new UserError(`'${path}' is neither a checkpoint (model.safetensors) nor a run with checkpoints`);
}

/**
 * The text of a model's training.json, to go along with the model into another folder. What a checkpoint from before it
 * was recorded does not say of its data is read from its run. @returns undefined where the model has no record.
 */
export function readTrainingRecord(folder: string): string | undefined {
  const path = join(folder, 'training.json');
  if (!existsSync(path)) return undefined;
  const text = readFileSync(path, 'utf8');
  try {
    const record = z.looseObject({}).parse(JSON.parse(text));
    if ('sources' in record || !FOLDER.test(basename(folder))) return text;
    const config: unknown = JSON.parse(readFileSync(join(dirname(dirname(folder)), 'config.json'), 'utf8'));
    const data = z.object({ sources: mixtureSchema, tokenizer: z.string() }).parse(config);
    return `${JSON.stringify({ ...record, ...data }, null, 2)}\n`;
  } catch {
    return text; // the run is gone
  }
}

/** Where a CPT run's source comes from; a foreign model folder has no record of its training. */
export function originOf(checkpoint: string): Origin {
  if (!existsSync(join(checkpoint, 'training.json'))) {
    return { checkpoint, name: basename(checkpoint), tokens: 0, flops: 0, tokensPerParameter: 0 };
  }
  const state = readTrainingState(checkpoint);
  const { run, step, tokens, flops, parameters, learningRate, updates = step, sources, tokenizer } = state;
  return {
    checkpoint,
    name: run || basename(dirname(dirname(checkpoint))),
    tokens,
    flops,
    tokensPerParameter: tokens / parameters,
    ...(learningRate !== undefined && { learningRate }),
    updates,
    ...(sources && { sources }),
    ...(tokenizer !== undefined && { tokenizer }),
  };
}
