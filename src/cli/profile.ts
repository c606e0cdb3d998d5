/** The command `profile`: where the time of a training step, an evaluation or decoding goes, kernel by kernel. */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { readModelConfig } from '../checkpoint/hf-config.js';
import { loadLoraModel } from '../checkpoint/lora-model.js';
import { matrixTypeIn } from '../checkpoint/model-folder.js';
import { UserError } from '../errors.js';
import { cacheFolder, checkFilePlace, writeFileWhole } from '../files.js';
import type { Device } from '../gpu/device.js';
import { type AdapterDescription, chooseAdapter, findModelFolder, loadModel, openDevice, readYaml } from '../index.js';
import { VariantTable } from '../kernels/variants.js';
import type { ModelConfig } from '../model/config.js';
import { initialWeights } from '../model/init.js';
import { initialAdapter, isOfAdapter } from '../model/lora.js';
import { Model, type ParameterSource } from '../model/model.js';
import type { TensorOptions } from '../model/tensors.js';
import type { Ranks } from '../parallel/ranks.js';
import { profileExchange } from '../profile/exchange.js';
import { listPlans } from '../profile/plans.js';
import { checkTimestamps, profile } from '../profile/profile.js';
import { profiledOf } from '../profile/profiled.js';
import { makeSubject, type SubjectName } from '../profile/subject.js';
import { chromeTrace } from '../profile/trace.js';
import { MODEL_FIELDS, parseFields, type RunFields } from '../run/config.js';
import { adapterOfRank, sharedMicroBatch } from '../run/parallel.js';
import { describedModel, stepShape, tensorsOf } from '../run/step-shape.js';
import { dryStep, type StepShape } from '../train/dry-step.js';
import { choicesOf, readCache } from '../tune/cache.js';
import type { CommandResult, Terminal } from './command.js';
import { withFlags } from './field-flags.js';
import { showPlans } from './profile-plan.js';
import { showExchange, showProfile } from './profile-table.js';
import { withRanks } from './ranks.js';

interface ProfileCommandOptions extends Record<string, unknown> {
  readonly model?: string;
  readonly config?: string;
  readonly what: SubjectName;
  readonly steps: number;
  readonly plan?: boolean;
  readonly trace?: string;
  readonly adapter?: string;
}

/** The command `profile`. */
export function runProfile(terminal: Terminal, options: ProfileCommandOptions): Promise<CommandResult | undefined> {
  return withRanks(terminal, (spoken, ranks) =>
    ranks ? profileRanks(spoken, ranks, options) : profileAlone(spoken, options),
  );
}

async function profileAlone(terminal: Terminal, options: ProfileCommandOptions): Promise<CommandResult> {
  const { model: checkpoint, config: file, what, steps, plan = false, trace, adapter: _, json: __, ...flags } = options;
  if (trace !== undefined) checkTracePlace(trace, plan);
  const given = withFlags(file === undefined ? {} : readYaml(file), flags);
  const fields = parseFields(given, `'${file}'`); // flags have no fault any more
  const folder = checkpoint === undefined ? undefined : findModelFolder(checkpoint);
  const config = modelOf(fields, folder);
  const adapter = (await chooseAdapter(options.adapter ?? fields.adapter)).choice.chosen;
  const profiled = profiledOf(what, fields, config, adapter);
  const { precision = 'f32', weightType } = fields;
  const isStep = what === 'step';
  const stored = folder !== undefined && fields.lora ? matrixTypeIn(folder, adapter) : undefined;
  const kept = isStep ? tensorsOf(fields, config, stored) : { precision, weightType };
  const variants =
    profiled.what === 'step' && !fields.deterministic
      ? tunedVariants(terminal, adapter, { model: config, settings: profiled.settings, ...kept })
      : undefined;
  const tensors: TensorOptions = { ...kept, variants, trainable: isStep };
  const { B, T } = profiled.settings;
  const told = {
    what,
    model: folder ?? fields.preset ?? null,
    adapter: adapter.name,
    driver: adapter.driver,
    precision,
    sequences: B,
    contextLength: T,
    ...(profiled.what === 'step' && { microBatches: profiled.settings.microBatches }),
  };
  if (plan) {
    const held = folder !== undefined && !isStep ? { matrixType: matrixTypeIn(folder, adapter) } : {};
    return { ...told, ...showPlans(terminal, listPlans(adapter, profiled, { ...tensors, ...held })) };
  }
  checkTimestamps(adapter);
  const device = await openDevice({ adapter: `#${adapter.number}` });
  try {
    const model = await makeModel(device, config, folder, tensors, terminal.note);
    const subject = await makeSubject(model, profiled);
    const progress = terminal.progress('profiling', steps, 'replays');
    const found = await profile(device, subject, { steps, onProgress: done => progress.update(done) }).finally(() =>
      progress.stop(),
    );
    const result = { ...told, steps, ...showProfile(terminal, found, profiled) };
    if (trace === undefined) return result;
    const title = `babelgrad ${what} on ${adapter.name} (${adapter.driver})`;
    writeFileWhole(trace, `${JSON.stringify(chromeTrace(found.replay, title))}\n`);
    terminal.print(`written: ${trace}`);
    return { ...result, trace };
  } finally {
    device.close();
  }
}

/** Profiles what the ranks of a job gain: a step alone against one that all share. */
async function profileRanks(terminal: Terminal, ranks: Ranks, options: ProfileCommandOptions): Promise<CommandResult> {
  const { model: checkpoint, config: file, what, steps, plan, trace, adapter: asked, json: _, ...flags } = options;
  if (what !== 'step' || plan || trace !== undefined || checkpoint !== undefined) {
    throw new UserError(
      'several ranks profile a step and its exchange: --what, --plan, --trace and --model are for one',
    );
  }
  const given = withFlags(file === undefined ? {} : readYaml(file), flags);
  const fields = parseFields(given, `'${file}'`);
  const config = modelOf(fields, undefined);
  const device = await openDevice({ adapter: await adapterOfRank(ranks, asked ?? fields.adapter) });
  try {
    const { settings } = stepShape(fields, device.adapter, config);
    const sequences = settings.microBatches * settings.B;
    const B = sharedMicroBatch(sequences, settings.B, ranks.size);
    const own = { ...settings, B, microBatches: sequences / ranks.size / B };
    const { gradientType: wire = 'f32' } = fields;
    const model = await makeModel(device, config, undefined, tensorsOf(fields, config), terminal.note);
    const progress = terminal.progress('profiling', steps, 'steps');
    const found = await profileExchange(model, ranks, own, {
      steps,
      wire,
      onProgress: done => progress.update(done),
    }).finally(() => progress.stop());
    model.destroy();
    return showExchange(terminal, found, ranks.library);
  } finally {
    device.close();
  }
}

/** Makes the model: that of a folder, or one with random weights; and adapters beside it, where there are to be any. */
function makeModel(
  device: Device,
  config: ModelConfig,
  folder: string | undefined,
  tensors: TensorOptions,
  onNote: (text: string) => void,
): Promise<Model> {
  const { lora, matrixType = 'f32', ...options } = tensors;
  const [base, adapter] = [initialWeights(config, 0), initialAdapter(0)];
  if (folder !== undefined && lora) {
    return loadLoraModel(device, folder, { ...options, lora: { ...lora, baseType: matrixType }, adapter });
  }
  if (folder !== undefined) return loadModel(device, folder, { ...options, onNote });
  const source: ParameterSource = spec => (isOfAdapter(spec.name) ? adapter(spec) : base(spec));
  return Model.create(device, config, source, tensors);
}

/** Checks that a trace can be written. @throws UserError when there is no replay to write, or no folder for it. */
function checkTracePlace(path: string, plan: boolean): void {
  if (plan) throw new UserError('--plan runs nothing that --trace could write; give one of them');
  if (!existsSync(dirname(path))) {
    throw new UserError(`cannot write '${path}': there is no folder '${dirname(path)}'; make it first`);
  }
  checkFilePlace(path);
}

/** Returns the model to profile. @throws UserError when there is none, or one of a folder and one of fields. */
function modelOf(fields: RunFields, folder: string | undefined): ModelConfig {
  const described = MODEL_FIELDS.filter(field => fields[field] !== undefined);
  if (folder !== undefined) {
    if (described.length === 0) return readModelConfig(folder);
    throw new UserError(`${described.join(', ')}: --model takes the model of '${folder}'; remove one of the two`);
  }
  if (described.length > 0) return describedModel(fields);
  throw new UserError(
    'there is nothing to profile: give a model, for instance --preset small, --model with its folder, ' +
      'or --config with the file of a run',
  );
}

/** Returns the variants that were tuned for the step before, as `train` takes them; the rest as shipped. */
function tunedVariants(terminal: Terminal, adapter: AdapterDescription, shape: StepShape): VariantTable {
  const { requests } = dryStep(adapter, shape).variants;
  const cache = readCache(cacheFolder(), adapter);
  if (cache.note) terminal.note(cache.note);
  const tuned = [...requests.keys()].flatMap(key => cache.entries.get(key) ?? []);
  terminal.note(`kernels: ${tuned.length} of ${requests.size} were tuned, the others are as shipped`);
  return new VariantTable(adapter, choicesOf(tuned));
}
