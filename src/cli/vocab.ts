/** The command `vocab extend`: new tokens for a model that is to learn a new language. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../errors.js';
import {
  BadRows,
  continueBpe,
  extendVocabulary,
  findInputFiles,
  findModelFolder,
  measureTokens,
  type OnBadRow,
  type RowInit,
  sizeOfFiles,
  TextTokenizer,
} from '../index.js';
import { printLeftOut } from './bad-rows.js';
import type { CommandResult, Terminal } from './command.js';

interface ExtendOptions {
  model: string;
  out: string;
  tokenizer?: string;
  train?: string[];
  add?: number;
  init: RowInit;
  seed: number;
  text?: Record<string, string>;
  field: string;
  onBadRow: OnBadRow;
}

/** The command `vocab extend`. */
export async function extendVocab(terminal: Terminal, options: ExtendOptions): Promise<CommandResult> {
  const { model, out, init, seed } = options;
  if (existsSync(out)) throw new UserError(`'${out}' exists already; choose another folder or remove it`);
  const folder = findModelFolder(model);
  const old = TextTokenizer.load(join(folder, 'tokenizer.json'));
  const trained = new BadRows(options.onBadRow);
  const extended = await extendedTokenizer(terminal, old, trained, options);
  const texts = await measure(terminal, [old, extended], options);
  const { added, vocabSize } = await extendVocabulary(folder, out, extended, { init, seed, onNote: terminal.note });
  terminal.print(
    `${out}: ${added.length} new tokens, ${vocabSize.before} rows before and ${vocabSize.after} after, ` +
      `new ones by ${init}`,
  );
  terminal.print(`for instance ${examples(added.map(({ text }) => text))}`);
  printLeftOut(terminal, trained, '--train: ');
  for (const { name, before, after, rows } of texts) {
    const ratio = (before / after).toFixed(2);
    terminal.print(
      `${name}: ${before.toFixed(3)} bytes per token before, ${after.toFixed(3)} after: ${ratio} times the tokens`,
    );
    if (options.text) printLeftOut(terminal, rows, `${name}: `);
  }
  terminal.print(`go on with: babelgrad tokenize FILES --tokenizer ${join(out, 'tokenizer.json')} --out DATA`);
  terminal.print(`and:        babelgrad cpt --from ${out} --source NAME=DATA --out RUN`);
  const bytesPerToken = Object.fromEntries(
    texts.map(({ name, before, after, rows }) => [name, { before, after, ...rows.counts }]),
  );
  return { path: out, source: folder, added: added.length, vocabSize, init, seed, bytesPerToken, ...trained.counts };
}

async function extendedTokenizer(
  terminal: Terminal,
  old: TextTokenizer,
  rows: BadRows,
  { tokenizer, train, add, field }: ExtendOptions,
): Promise<TextTokenizer> {
  if ((tokenizer === undefined) === (train === undefined)) {
    throw new UserError('new tokens come from --train FILES --add N or from --tokenizer FILE: give one of them');
  }
  if ((train === undefined) !== (add === undefined)) {
    throw new UserError('--train FILES and --add N go together: text, and how many tokens to learn from it');
  }
  if (tokenizer !== undefined) return TextTokenizer.load(tokenizer);
  const files = findInputFiles(train!);
  return withReading(terminal, 'read', files, onRead => continueBpe(old, files, { add: add!, field, rows, onRead }));
}

/**
 * Measures bytes per token with the old and the new tokenizer. Where no text is named, it is the one that was trained
 * on.
 */
async function measure(terminal: Terminal, tokenizers: readonly TextTokenizer[], options: ExtendOptions) {
  const { text, train, field, onBadRow } = options;
  const named = Object.entries(text ?? {}).map(([name, path]) => [name, [path]] as const);
  const texts = named.length > 0 ? named : train ? [['the training text', train] as const] : [];
  const measures: { name: string; before: number; after: number; rows: BadRows }[] = [];
  for (const [name, paths] of texts) {
    const files = findInputFiles(paths);
    const rows = new BadRows(onBadRow);
    const { bytes, tokens } = await withReading(terminal, name, files, onRead =>
      measureTokens(files, field, tokenizers, onRead, rows),
    );
    measures.push({ name, before: bytes / tokens[0]!, after: bytes / tokens[1]!, rows });
  }
  return measures;
}

/** Runs `body` with a bar of the bytes read. */
async function withReading<Result>(
  terminal: Terminal,
  label: string,
  files: readonly string[],
  body: (onRead: (bytes: number) => void) => Promise<Result>,
): Promise<Result> {
  const progress = terminal.progress(label, sizeOfFiles(files), 'bytes');
  let done = 0;
  try {
    return await body(more => {
      done += more;
      progress.update(done);
    });
  } finally {
    progress.stop();
  }
}

/** Returns a few of the texts, evenly spread. */
function examples(texts: readonly string[]): string {
  const count = Math.min(8, texts.length);
  return Array.from({ length: count }, (_, i) => JSON.stringify(texts[Math.floor((i * texts.length) / count)])).join(
    ' ',
  );
}
