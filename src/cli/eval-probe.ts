/** The command `eval probe`: what a model does in context. */
import { basename, dirname } from 'node:path';
import { isCheckpointFolder } from '../checkpoint/find.js';
import { readModelConfig } from '../checkpoint/hf-config.js';
import { frequentHeldOutIds } from '../data/frequent-ids.js';
import { UserError } from '../errors.js';
import { type Probe, Prober, probeShape, probeTask } from '../eval/probe.js';
import { checkFilePlace, writeFileWhole } from '../files.js';
import { loadModel, openDevice, type Precision, TokenDataset } from '../index.js';
import { short } from '../report/numbers.js';
import { PROBE_TASKS } from '../report/probes.js';
import { holdsRun, readRunConfig } from '../run/folder.js';
import { checkDataFolder } from '../run/run-data.js';
import { checkedModelFolder } from './checked-files.js';
import type { CommandResult, Terminal } from './command.js';
import { makeTable } from './table.js';

interface ProbeOptions {
  data?: string[];
  contextLength?: number;
  precision: Precision;
  verify: boolean;
  adapter?: string;
  out?: string;
}

/** The tokens that run at once. */
const TOKENS_AT_ONCE = 2048;

/** The command `eval probe`. */
export async function evalProbe(terminal: Terminal, options: ProbeOptions, given: string): Promise<CommandResult> {
  if (options.out) checkFilePlace(options.out);
  const folder = await checkedModelFolder(terminal, given!, options.verify);
  const own = runOf(folder);
  const data = options.data ? namedFolders(options.data) : own?.heldOut;
  if (!data)
    throw new UserError(`'${folder}' is no checkpoint of a run; say with --data which tokens it is probed with`);
  const model = readModelConfig(folder);
  const context = options.contextLength ?? own?.contextLength ?? Math.min(255, model.maxPositionEmbeddings);
  const shape = probeShape(context, TOKENS_AT_ONCE);
  const pools: { name: string; ids: Uint32Array; start: readonly number[] }[] = [];
  for (const [name, path] of Object.entries(data)) {
    pools.push({ name, ...(await readPool(path, { folder, vocabSize: model.vocabSize }, options.verify)) });
  }
  for (const { ids, start } of pools) for (const task of PROBE_TASKS) probeTask(task, ids, shape.T, start);
  const device = await openDevice({ adapter: options.adapter });
  try {
    const { precision } = options;
    const loaded = await loadModel(device, folder, { precision, trainable: false, onNote: terminal.note });
    const prober = await Prober.create(loaded, shape);
    const probes: Record<string, Probe> = {};
    for (const { name, ids, start } of pools) probes[name] = await prober.probe(ids, start);
    prober.destroy();
    terminal.print(probeTable(probes));
    terminal.print(
      'Accuracy: the share of tokens that the model takes for the likeliest. Chance: knowing which tokens a ' +
        'sequence has, but not in which order.',
    );
    const result = { model: folder, contextLength: context, probes };
    if (options.out) writeFileWhole(options.out, `${JSON.stringify(result, null, 2)}\n`);
    return result;
  } finally {
    device.close();
  }
}

/** Returns the run that a checkpoint lies in; undefined where it lies in none. */
function runOf(folder: string) {
  const run = dirname(dirname(folder));
  return isCheckpointFolder(folder) && holdsRun(run) ? readRunConfig(run) : undefined;
}

function namedFolders(given: readonly string[]): Record<string, string> {
  const named = new Map<string, string>();
  for (const text of given) {
    const at = text.indexOf('=');
    const path = text.slice(at + 1);
    const name = at < 0 ? basename(path) : text.slice(0, at);
    if (name === '' || path === '') throw new UserError(`--data '${text}' must be a folder, or name=folder`);
    if (named.has(name)) throw new UserError(`two --data are named '${name}'; tell them apart with name=folder`);
    named.set(name, path);
  }
  return Object.fromEntries(named);
}

/** Reads the tokens that tasks are made of. @throws UserError when the folder is damaged, or of another tokenizer. */
async function readPool(path: string, model: { readonly folder: string; readonly vocabSize: number }, verify: boolean) {
  if (verify) await checkDataFolder(path, file => !/^train-/.test(file));
  const dataset = TokenDataset.open(path);
  try {
    dataset.checkModel(model);
    return { ids: frequentHeldOutIds(dataset), start: dataset.index.startIds };
  } finally {
    dataset.close();
  }
}

function probeTable(probes: Readonly<Record<string, Probe>>): string {
  const table = makeTable(['tokens of', 'task', 'accuracy', 'chance', 'loss', 'loss unforetold', 'measured']);
  for (const [name, probe] of Object.entries(probes)) {
    for (const task of PROBE_TASKS) {
      const { accuracy, chance, loss, firstLoss, tokens } = probe[task];
      table.push([
        name,
        task,
        accuracy.toFixed(4),
        chance.toFixed(4),
        loss.toFixed(4),
        firstLoss.toFixed(4),
        short(tokens),
      ]);
    }
  }
  return table.toString();
}
