import { join } from 'node:path';
import { readModelConfig } from '../checkpoint/hf-config.js';
import { UserError } from '../errors.js';
import { logLikelihoods } from '../eval/log-likelihoods.js';
import { checkFilePlace, writeFileWhole } from '../files.js';
import { loadModel, openDevice, type Precision, type SpecialTokens, TextTokenizer } from '../index.js';
import type { Mean } from '../tasks/accuracy.js';
import { evaluateTasks, type Scorer, type TaskResult } from '../tasks/evaluate.js';
import type { Encoder } from '../tasks/requests.js';
import { readTask, type TaskData } from '../tasks/task.js';
import { checkedModelFolder } from './checked-files.js';
import type { CommandResult, Terminal } from './command.js';
import { noteSpelledSpecialTokens } from './special-tokens.js';
import { makeTable } from './table.js';

interface TasksOptions {
  model: string;
  task: string[];
  limit?: number;
  contextLength?: number;
  batchTokens: number;
  specialTokens: SpecialTokens;
  precision: Precision;
  verify: boolean;
  adapter?: string;
  out?: string;
}

/** The command `eval tasks`. */
export async function evalTasks(terminal: Terminal, options: TasksOptions): Promise<CommandResult> {
  const { limit, batchTokens, precision, specialTokens } = options;
  if (options.out) checkFilePlace(options.out);
  const folder = await checkedModelFolder(terminal, options.model, options.verify);
  const tokenizer = TextTokenizer.load(join(folder, 'tokenizer.json'));
  const tasks: TaskData[] = [];
  for (const [task, paths] of pathsByTask(options.task)) tasks.push(await readTask(task, paths, limit));
  const encoder: Encoder = {
    separatorId: tokenizer.separatorId,
    startIds: tokenizer.startIds,
    encode: text => tokenizer.encode(text, { specialTokens }),
    encodePrompt: text => tokenizer.encodePrompt(text, { specialTokens }),
  };
  const choices = tasks.flatMap(task => task.documents.flatMap(({ requests }) => requests));
  const spelled = choices.reduce(
    (sum, each) => sum + tokenizer.countSpecialTokens(each.context + each.continuation),
    0,
  );
  noteSpelledSpecialTokens(terminal, spelled, specialTokens);
  const config = readModelConfig(folder);
  const maxLength = options.contextLength ?? config.maxPositionEmbeddings;
  const device = await openDevice({ adapter: options.adapter });
  try {
    const model = await loadModel(device, folder, { precision, trainable: false, onNote: terminal.note });
    const documents = tasks.reduce((sum, task) => sum + task.documents.length, 0);
    const tokenized = counted(terminal, 'tokenize', documents, 'documents');
    const score: Scorer = async requests => {
      tokenized.stop();
      const scored = counted(terminal, 'score', requests.length, 'choices');
      const values = await logLikelihoods(model, requests, { batchTokens, onScored: scored.add });
      scored.stop();
      return values;
    };
    const results = await evaluateTasks(tasks, encoder, score, { maxLength, onEncoded: tokenized.add });
    terminal.print(tasksTable(results));
    for (const { task, truncated } of results) {
      if (truncated > 0) terminal.note(`${task}: ${truncated} choices lost the beginning of their context`);
    }
    const special = { as: specialTokens, spelled };
    const common = { model: folder, contextLength: maxLength, limit: limit ?? null, specialTokens: special };
    if (options.out) writeFileWhole(options.out, `${JSON.stringify({ ...common, tasks: results }, null, 2)}\n`);
    return { ...common, tasks: results.map(({ samples, ...result }) => result) };
  } finally {
    device.close();
  }
}

/** Returns a progress bar that is told how many more are done. */
function counted(terminal: Terminal, label: string, total: number, unit: string) {
  const progress = terminal.progress(label, total, unit);
  let done = 0;
  const add = (count: number) => {
    done += count;
    progress.update(done);
  };
  return { add, stop: () => progress.stop() };
}

function pathsByTask(given: readonly string[]): Map<string, string[]> {
  const tasks = new Map<string, string[]>();
  for (const text of given) {
    const at = text.indexOf('=');
    if (at < 1 || at === text.length - 1) throw new UserError(`--task '${text}' must be name=path`);
    const name = text.slice(0, at);
    tasks.set(name, [...(tasks.get(name) ?? []), text.slice(at + 1)]);
  }
  return tasks;
}

function tasksTable(results: readonly TaskResult[]): string {
  const table = makeTable(['task', 'documents', 'acc', 'acc_norm', 'acc_bytes']);
  const cell = (value: Mean | null) => {
    if (!value) return '';
    return value.stderr === null ? value.mean.toFixed(4) : `${value.mean.toFixed(4)} ± ${value.stderr.toFixed(4)}`;
  };
  for (const { task, documents, accuracies } of results) {
    const { acc, acc_norm, acc_bytes } = accuracies;
    table.push([task, documents, cell(acc), cell(acc_norm), cell(acc_bytes)]);
  }
  return table.toString();
}
