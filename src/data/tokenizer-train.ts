/** Trains a byte-level BPE in Hugging Face's tokenizer.json format, through their own package. */
import { execFile } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf, UserError } from '../errors.js';
import { packageRoot, writeFileWhole } from '../files.js';
import { requireNative } from '../natives.js';
import { BadRows } from './bad-rows.js';
import { SMALLEST_VOCABULARY, shortenBpe, untrainedBpe } from './bpe-file.js';
import { readDocuments } from './documents.js';
import { WORD_PATTERN } from './patterns.js';
import type { OnRead } from './text-stream.js';
import { TextTokenizer } from './tokenizer.js';

export interface TrainTokenizerOptions {
  readonly vocabSize: number;
  /** The field or column of the text in .jsonl and .parquet; by default `text`. */
  readonly field?: string | undefined;
  /** The path of the tokenizer.json to write; it must not exist. */
  readonly out: string;
  /**
   * The regular expression (Oniguruma's) whose matches tokens stay within, by default WORD_PATTERN. The file records
   * it.
   */
  readonly pattern?: string | undefined;
  /**
   * The bytes of UTF-8 text to look at, by default 500 MB: the first bytes of the files as they are listed, not a share
   * of each.
   */
  readonly maxBytes?: number;
  /** Decides what is done with bad rows, and counts them; by default they are errors. */
  readonly rows?: BadRows;
  readonly onRead?: OnRead;
}

/**
 * Trains a byte-level BPE: id 0 ends a document, then come the 256 bytes, then merges by frequency. The same text gives
 * the same file. The package trains about 30,000 entries whatever one asks for; a smaller vocabulary is the same BPE
 * cut off after its first merges. The text is copied to a temporary file, since the package reads only files.
 * @throws UserError when `out` exists, `pattern` is no regular expression, or `vocabSize` is too small for the bytes,
 * or larger than the text gives.
 * @example
 * import { findInputFiles, trainTokenizer } from 'babelgrad';
 *
 * const files = findInputFiles(['text/*.jsonl.gz']);
 * const tokenizer = await trainTokenizer(files, { vocabSize: 2048, out: 'tokenizer.json' });
 * console.log(await tokenizer.encode('Styles de page'));
 */
export async function trainTokenizer(files: readonly string[], options: TrainTokenizerOptions): Promise<TextTokenizer> {
  const { vocabSize, out, pattern = WORD_PATTERN } = options;
  if (!Number.isInteger(vocabSize) || vocabSize < SMALLEST_VOCABULARY) {
    throw new UserError(`a byte-level vocabulary needs at least ${SMALLEST_VOCABULARY} entries, not ${vocabSize}`);
  }
  if (existsSync(out)) throw new UserError(`'${out}' exists already; choose another file or remove it`);
  const untrained = untrainedBpe(checkPattern(pattern));
  const folder = mkdtempSync(join(tmpdir(), 'babelgrad-tokenizer-'));
  try {
    const sample = join(folder, 'sample.txt');
    await writeSample(files, sample, options);
    const json = shortenBpe(await runTrainer(folder, untrained, sample), vocabSize, pattern);
    writeFileWhole(out, json);
    return TextTokenizer.parse(json);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns the pattern. @throws UserError when it is no regular expression, or matches nothing at all. */
function checkPattern(pattern: string): string {
  const { Tokenizer } = requireNative<typeof import('tokenizers')>('tokenizers');
  try {
    Tokenizer.fromString(untrainedBpe(pattern));
  } catch (error) {
    throw new UserError(`the pattern '${pattern}' is no regular expression: ${messageOf(error)}`);
  }
  if (pattern === '') throw new UserError('the pattern is empty; leave it out for the usual one');
  return pattern;
}

/**
 * Trains in a process of its own: the package prints to stdout, which belongs to the command's result, and holds the
 * event loop until it is done. The import starts from the package's root, so that it resolves however the package was
 * installed.
 * @returns the trained tokenizer.json.
 */
async function runTrainer(folder: string, untrainedJson: string, sample: string): Promise<string> {
  const program = `
    import { Tokenizer } from 'tokenizers';
    const [untrained, sample, trained] = process.argv.slice(1);
    const tokenizer = Tokenizer.fromFile(untrained);
    tokenizer.train([sample]);
    tokenizer.save(trained, false);`;
  const untrained = join(folder, 'untrained.json');
  const trained = join(folder, 'trained.json');
  writeFileSync(untrained, untrainedJson);
  const parameters = ['--input-type=module', '--eval', program, untrained, sample, trained];
  try {
    await promisify(execFile)(process.execPath, parameters, { cwd: packageRoot });
  } catch (error) {
    const { stderr = '', signal } = error as { stderr?: string; signal?: string | null };
    throw new Error(`training the tokenizer failed (${signal ?? (stderr.trim() || messageOf(error))})`);
  }
  return readFileSync(trained, 'utf8');
}

async function writeSample(files: readonly string[], path: string, options: TrainTokenizerOptions): Promise<void> {
  const { field, maxBytes = 5e8, rows = new BadRows(), onRead } = options;
  const sample = openSync(path, 'w');
  let bytes = 0;
  try {
    for (const file of files) {
      for await (const { text, endOfDocument } of readDocuments(file, field, onRead, rows)) {
        bytes += writeSync(sample, endOfDocument ? `${text}\n` : text);
        if (bytes >= maxBytes) return;
      }
    }
    if (bytes === 0) throw new UserError(`there is no text to train a tokenizer on: ${rows.summary}`);
  } finally {
    closeSync(sample);
  }
}
