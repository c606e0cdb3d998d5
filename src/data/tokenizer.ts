/** Tokenizers in Hugging Face's tokenizer.json format, through their own package: loading, using and training them. */
import { execFile } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Tokenizer } from 'tokenizers';
import { messageOf, UserError } from '../errors.js';
import { packageRoot, writeFileWhole } from '../files.js';
import { BadRows } from './bad-rows.js';
import { SEPARATOR, SMALLEST_VOCABULARY, shortenBpe, untrainedBpe } from './bpe-file.js';
import { readDocuments } from './documents.js';
import type { OnRead } from './text-stream.js';

/** What models have called the token that ends a document. */
const SEPARATORS = [SEPARATOR, '</s>', '<|end_of_text|>', '<eos>', '[SEP]'];
/** Else a special token whose name says as much, for instance `<｜end▁of▁sentence｜>`. */
const SEPARATOR_NAME = /\beos\b|end.?of.?(text|sentence|document|sequence)/i;

export class TextTokenizer {
  /** The file's text, to be kept beside data and checkpoints. */
  readonly json: string;
  /** One more than the largest id, which is what an embedding needs, also where a file leaves ids out. */
  readonly vocabSize: number;
  /** Id of the token that ends a document. */
  readonly separatorId: number;
  readonly #tokenizer: Tokenizer;

  private constructor(json: string, tokenizer: Tokenizer, separatorId: number) {
    this.json = json;
    this.#tokenizer = tokenizer;
    this.vocabSize = Object.values(tokenizer.getVocab(true)).reduce((most, id) => Math.max(most, id), -1) + 1;
    this.separatorId = separatorId;
  }

  /** @throws UserError when the file is missing, damaged, or names no token that ends a document. */
  static load(path: string): TextTokenizer {
    let json: string;
    try {
      json = readFileSync(path, 'utf8');
    } catch {
      throw new UserError(`there is no tokenizer '${path}'; make one with 'babelgrad tokenizer train'`);
    }
    try {
      return TextTokenizer.parse(json);
    } catch (error) {
      throw new UserError(`'${path}': ${messageOf(error)}`);
    }
  }

  /** @throws UserError when the text is not a tokenizer, or names no token that ends a document. */
  static parse(json: string): TextTokenizer {
    let tokenizer: Tokenizer;
    try {
      tokenizer = Tokenizer.fromString(json);
    } catch (error) {
      throw new UserError(`not a tokenizer.json: ${messageOf(error)}`);
    }
    // files made for classifiers ask for these; either would change the text without a word
    tokenizer.disableTruncation();
    tokenizer.disablePadding();
    const separatorId = findSeparator(json, tokenizer);
    if (separatorId === undefined) {
      throw new UserError(`the tokenizer has none of the tokens that end a document: ${SEPARATORS.join(' ')}`);
    }
    return new TextTokenizer(json, tokenizer, separatorId);
  }

  /**
   * Ids of the text, by default without the special tokens that the file may ask for around it (one that begins a text,
   * say). A special token that is spelled out in the text becomes its id, as everywhere in this format.
   */
  async encode(text: string, { addSpecialTokens = false } = {}): Promise<number[]> {
    return (await this.#tokenizer.encode(text, null, { addSpecialTokens })).getIds();
  }

  /** Ids of the text with the special tokens that the file puts around one, for instance `<s>` before it. */
  async encodeWithSpecial(text: string): Promise<number[]> {
    return (await this.#tokenizer.encode(text)).getIds();
  }

  /** Ids of the text by the parts that are encoded apart: words, mostly. Together they are those of `encode`. */
  async encodeWords(text: string): Promise<number[][]> {
    const encoding = await this.#tokenizer.encode(text, null, { addSpecialTokens: false });
    const parts = encoding.getWordIds();
    const words: number[][] = [];
    encoding.getIds().forEach((id, i) => {
      if (i > 0 && parts[i] === parts[i - 1] && parts[i] != null) words.at(-1)!.push(id);
      else words.push([id]);
    });
    return words;
  }

  decode(ids: readonly number[]): Promise<string> {
    return this.#tokenizer.decode([...ids], false);
  }

  /** Every entry as the file spells it, with its id. */
  get vocabulary(): ReadonlyMap<string, number> {
    return new Map(Object.entries(this.#tokenizer.getVocab(true)));
  }
}

function findSeparator(json: string, tokenizer: Tokenizer): number | undefined {
  for (const token of SEPARATORS) {
    const id = tokenizer.tokenToId(token);
    if (id !== null) return id;
  }
  const { added_tokens: added = [] } = JSON.parse(json) as {
    added_tokens?: { id: number; content: string; special: boolean }[];
  };
  return added.find(({ content, special }) => special && SEPARATOR_NAME.test(content))?.id;
}

export interface TrainTokenizerOptions {
  readonly vocabSize: number;
  /** Field or column of the text in .jsonl and .parquet. */
  readonly field: string;
  /** Where tokenizer.json goes; it must not exist. */
  readonly out: string;
  /** Bytes of UTF-8 text to look at, default 500 MB: the first ones of the files as they are listed, not a share of each. */
  readonly maxBytes?: number;
  /** What is done with bad rows, and counts them; by default they are errors. */
  readonly rows?: BadRows;
  readonly onRead?: OnRead;
}

/**
 * Trains a byte-level BPE: id 0 ends a document, then the 256 bytes, then merges by frequency. The same text gives the
 * same file. The package trains about 30,000 entries whatever one asks; a smaller vocabulary is the same BPE cut off
 * after its first merges. The text is copied to a temporary file, since the package reads only files.
 * @throws UserError when `out` exists, or `vocabSize` is too small for the bytes, or larger than the text gives.
 */
export async function trainTokenizer(files: readonly string[], options: TrainTokenizerOptions): Promise<TextTokenizer> {
  const { vocabSize, out } = options;
  if (!Number.isInteger(vocabSize) || vocabSize < SMALLEST_VOCABULARY) {
    throw new UserError(`a byte-level vocabulary needs at least ${SMALLEST_VOCABULARY} entries, not ${vocabSize}`);
  }
  if (existsSync(out)) throw new UserError(`'${out}' exists already; choose another file or remove it`);
  const folder = mkdtempSync(join(tmpdir(), 'babelgrad-tokenizer-'));
  try {
    const sample = join(folder, 'sample.txt');
    await writeSample(files, sample, options);
    const json = shortenBpe(await runTrainer(folder, sample), vocabSize);
    writeFileWhole(out, json);
    return TextTokenizer.parse(json);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Trains in a process of its own: the package prints to stdout, which belongs to the command's result, and holds the
 * event loop until it is done. From the package's root the import resolves however the package was installed.
 * @returns the trained tokenizer.json.
 */
async function runTrainer(folder: string, sample: string): Promise<string> {
  const program = `
    import { Tokenizer } from 'tokenizers';
    const [untrained, sample, trained] = process.argv.slice(1);
    const tokenizer = Tokenizer.fromFile(untrained);
    tokenizer.train([sample]);
    tokenizer.save(trained, false);`;
  const untrained = join(folder, 'untrained.json');
  const trained = join(folder, 'trained.json');
  writeFileSync(untrained, untrainedBpe());
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
