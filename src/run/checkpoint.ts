/** Checkpoints of a run: a model folder with the optimizer's and the sampler's state beside it. */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Companions } from '../checkpoint/companions.js';
import { averageFolder, checkpointFolder, listCheckpoints } from '../checkpoint/find.js';
import { writeAdapters } from '../checkpoint/lora-model.js';
import { writeModel } from '../checkpoint/model-folder.js';
import { SafetensorsFile } from '../checkpoint/safetensors.js';
import { floatTensor, writeSafetensors } from '../checkpoint/safetensors-write.js';
import { TRAINING_FORMAT, type TrainingState } from '../checkpoint/training-record.js';
import { SINGLE } from '../checkpoint/weight-files.js';
import { OPTIMIZER } from '../checkpoint/whole.js';
import type { MixtureState } from '../data/mixture.js';
import { UserError } from '../errors.js';
import { removeFolderWhole, writeFolderWhole } from '../files.js';
import type { Model } from '../model/model.js';
import type { ParameterGroup } from '../model/parameters.js';
import type { RankGroup } from '../parallel/ranks.js';
import { OuterStep } from '../train/outer-step.js';
import type { Trainer } from '../train/step.js';
import type { ResolvedRun } from './resolved.js';
import { momentFault, momentsIn, momentTensors } from './saved-moments.js';

/** The momentum of outer steps, of a run that makes them. */
const OUTER = 'outer.safetensors';
/** The name of the tensor that holds the state of loss scaling, beside the moments. */
const SCALER = 'loss_scaling';

export interface CheckpointContents {
  readonly model: Model;
  readonly trainer: Trainer;
  readonly outer?: OuterStep | undefined;
  readonly tokenizerJson: string;
  /** What came with the model that the run started from. */
  readonly companions?: Companions | undefined;
  readonly state: Omit<TrainingState, 'format' | 'mixture' | 'guard'> & { readonly mixture: MixtureState };
}

/** Which checkpoints of a run stay when a new one was written. */
export interface Retention {
  /** The number of the latest that stay. */
  readonly latest: number;
  /** Whether the one of a step stays for good. */
  isKept(step: number): boolean;
}

/** Writes a checkpoint, then removes those that need not stay. @returns its folder. */
export async function saveCheckpoint(
  run: string,
  { latest, isKept }: Retention,
  contents: CheckpointContents,
): Promise<string> {
  const { model, trainer, outer, tokenizerJson, companions, state } = contents;
  const folder = checkpointFolder(run, state.step);
  await writeFolderWhole(folder, async target => {
    if (state.base) await writeAdapters(model, target, state.base.path, tokenizerJson, companions);
    else await writeModel(model, target, tokenizerJson, companions);
    const scaler = await trainer.scaler();
    const scaling = scaler ? [floatTensor(SCALER, [scaler.length], async () => scaler)] : [];
    await writeSafetensors(target.create(OPTIMIZER), [...momentTensors(trainer), ...scaling]);
    if (outer) {
      const momenta = trainer.trained.map(({ name, shape }) =>
        floatTensor(name, shape, async () => outer.momentum(name)),
      );
      await writeSafetensors(target.create(OUTER), momenta);
    }
    const training = { format: TRAINING_FORMAT, ...state, guard: [...(await trainer.guard())] };
    const record = `${JSON.stringify(training, null, 2)}\n`;
    target.write('training.json', record);
    const { average } = trainer;
    if (!average) return;
    await target.fill(basename(averageFolder(folder)), async inner => {
      await writeModel(model, inner, tokenizerJson, companions, name => average.read(name));
      inner.write('training.json', record);
    });
  });
  for (const old of listCheckpoints(run).slice(0, -latest)) {
    if (!isKept(old.step)) removeFolderWhole(old.folder);
  }
  return folder;
}

/**
 * Checks that the groups that a run trains can go on with a checkpoint's moments.
 * @throws UserError naming what is missing, or has another shape.
 */
export function checkOptimizerState(checkpoint: string, trained: readonly ParameterGroup[]): void {
  const path = join(checkpoint, OPTIMIZER);
  const refuse = (why: string) => {
    throw new UserError(
      `optimizerState keep needs AdamW's moments of the source, but ${why}; use optimizerState reset`,
    );
  };
  if (!existsSync(path) || !existsSync(join(checkpoint, 'training.json'))) {
    refuse(
      `'${checkpoint}' has no optimizer.safetensors with a training.json (a model that was imported or exported, ` +
        'or whose vocabulary was extended, has none)',
    );
  }
  const file = SafetensorsFile.open(path);
  try {
    const fault = momentFault(file, trained);
    if (fault !== undefined) refuse(fault);
  } finally {
    file.close();
  }
}

/**
 * Puts back the optimizer's state of a checkpoint, with the `guard` of a run that goes on. Moments in 8 bits keep their
 * bits; where a trainer keeps in f32 what a checkpoint has in 8 bits, or the other way round, they are converted.
 * @throws UserError when it does not fit the model.
 */
export function restoreTrainer(trainer: Trainer, checkpoint: string, step: number, guard?: readonly number[]): void {
  const file = SafetensorsFile.open(join(checkpoint, OPTIMIZER));
  try {
    const hasScaler = file.names.includes(SCALER);
    const scaling = hasScaler ? file.read(SCALER, scalerShape(file)) : undefined;
    const { momentsOf, codedOf } = momentsIn(file, trainer.model);
    trainer.restore(step, momentsOf, { scaling, guard: guard && Uint32Array.from(guard), codedOf });
  } finally {
    file.close();
  }
}

/** The shape of the state of loss scaling: four words, and two for each end of what was frozen at first. */
function scalerShape(file: SafetensorsFile): readonly number[] {
  const [length = 0] = file.shape(SCALER);
  return [Math.max(4, length - (length % 2))];
}

/**
 * Puts back the average of weights that a run keeps.
 * @throws UserError when the checkpoint has none, or it does not fit the model.
 */
export function restoreAverage(trainer: Trainer, checkpoint: string): void {
  const { average } = trainer;
  if (!average) return;
  const file = SafetensorsFile.open(join(averageFolder(checkpoint), SINGLE));
  try {
    const shapes = new Map(trainer.model.specs.map(({ name, shape }) => [name, shape]));
    average.restore(name => file.read(name, shapes.get(name)!));
  } finally {
    file.close();
  }
}

/** Makes what brings ranks together with `parallel: diloco`, as a checkpoint left it; by default as it starts. */
export function makeOuterStep(
  { outerLearningRate, outerMomentum, gradientType }: ResolvedRun,
  trainer: Trainer,
  ranks: RankGroup,
  checkpoint: string | undefined,
): Promise<OuterStep> {
  const settings = { learningRate: outerLearningRate, momentum: outerMomentum, wire: gradientType };
  const momenta = checkpoint === undefined ? undefined : readOuterMomentum(checkpoint, trainer);
  return OuterStep.create(trainer, ranks, settings, momenta && (name => momenta.get(name)!));
}

/** Returns a checkpoint's momentum of outer steps by parameter; undefined where it has none. */
function readOuterMomentum(checkpoint: string, { trained }: Trainer): ReadonlyMap<string, Float32Array> | undefined {
  const path = join(checkpoint, OUTER);
  if (!existsSync(path)) return undefined;
  const file = SafetensorsFile.open(path);
  try {
    return new Map(trained.map(({ name, shape }) => [name, file.read(name, shape)]));
  } finally {
    file.close();
  }
}
