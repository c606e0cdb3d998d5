/** The tasks that there are, under the names of the harness, and reading one from files. */
import { existsSync } from 'node:fs';
import { findInputFiles } from '../data/inputs.js';
import { Row, readRows } from '../data/rows.js';
import { readText } from '../data/text-stream.js';
import { UserError } from '../errors.js';
import type { ChoiceDocument } from './document.js';
import { copa, hellaswag, multipleChoice, piqa, type ReadRow, winograd, xcopa, xnli, xstorycloze } from './formats.js';
import {
  HELLASWAG_LANGUAGES,
  XCOPA_WORDS,
  XNLI_WORDS,
  XSTORYCLOZE_LANGUAGES,
  XWINOGRAD_LANGUAGES,
} from './languages.js';

/** The name of a task of one's own is `multiple_choice:NAME`. */
const OWN = 'multiple_choice';

const byLanguage = (name: string, languages: readonly string[], read: (language: string) => ReadRow) =>
  languages.map(language => [`${name}_${language}`, read(language)] as const);

const TASKS: ReadonlyMap<string, ReadRow> = new Map([
  ...byLanguage('xnli', Object.keys(XNLI_WORDS), xnli),
  ...byLanguage('xstorycloze', XSTORYCLOZE_LANGUAGES, () => xstorycloze),
  ...byLanguage('xcopa', Object.keys(XCOPA_WORDS), xcopa),
  ['copa', copa],
  ...byLanguage('xwinograd', XWINOGRAD_LANGUAGES, () => winograd),
  ['winogrande', winograd],
  ['hellaswag', hellaswag],
  ...byLanguage('hellaswag', HELLASWAG_LANGUAGES, () => hellaswag),
  ['piqa', piqa],
  [OWN, multipleChoice],
]);
export const TASK_NAMES: readonly string[] = [...TASKS.keys()];

export interface TaskData {
  readonly task: string;
  readonly files: readonly string[];
  readonly documents: readonly ChoiceDocument[];
}

/**
 * Reads a task's questions.
 * @param paths files, folders or globs of .jsonl (also .gz or .zst) and .parquet.
 * @param limit the number of questions to read, from the first on.
 * @throws UserError when there is no such task, or naming the file and row of what is missing or out of range.
 */
export async function readTask(task: string, paths: readonly string[], limit = Infinity): Promise<TaskData> {
  const read = readerOf(task);
  const files = findInputFiles(paths);
  const documents: ChoiceDocument[] = [];
  for (const file of files) {
    if (documents.length >= limit) break;
    const rows = task === 'piqa' ? withLabels(file) : readRows(file);
    for await (const row of rows) {
      if (documents.length >= limit) break;
      const document = read(row);
      if (document) documents.push(document);
    }
  }
  if (documents.length === 0) throw new UserError(`${files.join(', ')}: no row is of '${task}', nor in its language`);
  return { task, files, documents };
}

function readerOf(task: string): ReadRow {
  const read = TASKS.get(task.startsWith(`${OWN}:`) ? OWN : task);
  if (read) return read;
  const family = task.split('_')[0]!;
  const near = TASK_NAMES.filter(name => name.split('_')[0] === family);
  const known = near.length > 0 ? near : TASK_NAMES.filter(name => !name.includes('_') || name.endsWith('_en'));
  throw new UserError(
    `there is no task '${task}'; there are ${known.join(', ')}, and ${OWN}:NAME for one of your own; ` +
      '--help lists all languages',
  );
}

/** Reads a file's rows with their labels: PIQA's release has those of valid.jsonl in valid-labels.lst, one a line. */
async function* withLabels(file: string): AsyncGenerator<Row> {
  const path = file.replace(/\.jsonl(\.(gz|zst))?$/, '-labels.lst');
  if (path === file || !existsSync(path)) return yield* readRows(file);
  let text = '';
  for await (const part of readText(path)) text += part;
  const labels = text.trim().split(/\s+/);
  let count = 0;
  for await (const row of readRows(file)) {
    yield row.has('label') ? row : new Row({ ...row.values, label: labels[count] ?? null }, row.where);
    count++;
  }
}
