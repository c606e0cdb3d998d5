/** Tokenizers in Hugging Face's tokenizer.json format, through their own package. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tokenizer } from 'tokenizers';
import { messageOf, UserError } from '../errors.js';
import { writeFileWhole } from '../files.js';
import { readDocuments } from './documents.js';

/** The token that stands after every document. */
export const SEPARATOR = '<|endoftext|>';
/** What models have called theirs. */
const SEPARATORS = [SEPARATOR, '</s>', '<|end_of_text|>', '<eos>', '[SEP]'];

export class TextTokenizer {
  /** The file's text, to be kept beside data and checkpoints. */
  readonly json: string;
  readonly vocabSize: number;
  /** Id of the token that ends a document. */
  readonly separatorId: number;
  readonly #tokenizer: Tokenizer;

  private constructor(json: string, tokenizer: Tokenizer, separatorId: number) {
    this.json = json;
    this.#tokenizer = tokenizer;
    this.vocabSize = tokenizer.getVocabSize(true);
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
    const ids = SEPARATORS.map(token => tokenizer.tokenToId(token));
    const separatorId = ids.find(id => id !== null);
    if (separatorId === undefined || separatorId === null) {
      throw new UserError(`the tokenizer has none of the tokens that end a document: ${SEPARATORS.join(' ')}`);
    }
    return new TextTokenizer(json, tokenizer, separatorId);
  }

  /** Ids of the text, without special tokens around it. */
  async encode(text: string): Promise<number[]> {
    return (await this.#tokenizer.encode(text, null, { addSpecialTokens: false })).getIds();
  }

  decode(ids: readonly number[]): Promise<string> {
    return this.#tokenizer.decode([...ids], false);
  }
}

/** The part of tokenizer.json that training works on. */
interface BpeFile {
  model: { vocab: Record<string, number>; merges: [string, string][] };
}

export interface TrainTokenizerOptions {
  readonly vocabSize: number;
  /** Field or column of the text in .jsonl and .parquet. */
  readonly field: string;
  /** Where tokenizer.json goes. */
  readonly out: string;
  /** Characters of text that are looked at, file by file. */
  readonly maxCharacters?: number;
  readonly onProgress?: (characters: number) => void;
}

const BYTES = 256;

/**
 * Trains a byte-level BPE: id 0 ends a document, then the 256 bytes, then merges by frequency. The package trains about
 * 30,000 entries whatever one asks; a smaller vocabulary is the same BPE cut off after its first merges.
 * @throws UserError when `vocabSize` is too small for the bytes, or larger than the text gives.
 */
export async function trainTokenizer(files: readonly string[], options: TrainTokenizerOptions): Promise<TextTokenizer> {
  const { vocabSize, field, out, maxCharacters = 5e8, onProgress } = options;
  if (!Number.isInteger(vocabSize) || vocabSize < BYTES + 1) {
    throw new UserError(`a byte-level vocabulary needs at least ${BYTES + 1} entries, not ${vocabSize}`);
  }
  const folder = mkdtempSync(join(tmpdir(), 'babelgrad-tokenizer-'));
  try {
    const sample = join(folder, 'sample.txt');
    await writeSample(files, field, sample, maxCharacters, onProgress);
    const trainer = Tokenizer.fromString(JSON.stringify(tokenizerFile({}, [])));
    trainer.train([sample]);
    const trained = join(folder, 'tokenizer.json');
    trainer.save(trained, false);
    const { merges } = (JSON.parse(readFileSync(trained, 'utf8')) as BpeFile).model;
    const json = cutOff(merges, vocabSize);
    writeFileWhole(out, json);
    return TextTokenizer.parse(json);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function writeSample(
  files: readonly string[],
  field: string,
  path: string,
  maxCharacters: number,
  onProgress?: (characters: number) => void,
): Promise<void> {
  const sample = openSync(path, 'w');
  let characters = 0;
  try {
    for (const file of files) {
      for await (const { text, endOfDocument } of readDocuments(file, field)) {
        writeSync(sample, endOfDocument ? `${text}\n` : text);
        characters += text.length;
        onProgress?.(characters);
        if (characters >= maxCharacters) return;
      }
    }
  } finally {
    closeSync(sample);
  }
}

/** The byte symbols of byte-level BPE: printable ones stand for themselves, the rest for code points from 256 on. */
function byteSymbols(): string[] {
  const printable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: BYTES }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

function cutOff(merges: readonly [string, string][], vocabSize: number): string {
  const vocab: Record<string, number> = { [SEPARATOR]: 0 };
  let size = 1;
  for (const symbol of byteSymbols()) vocab[symbol] = size++;
  const kept: [string, string][] = [];
  for (const [left, right] of merges) {
    if (size === vocabSize) break;
    kept.push([left, right]);
    if (vocab[left + right] === undefined) vocab[left + right] = size++;
  }
  if (size < vocabSize) {
    throw new UserError(`the text gives a vocabulary of ${size} entries, not ${vocabSize}; ask for less or add text`);
  }
  return JSON.stringify(tokenizerFile(vocab, kept));
}

function tokenizerFile(vocab: Record<string, number>, merges: readonly [string, string][]) {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [
      {
        id: 0,
        content: SEPARATOR,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.keys(vocab).length > 0 ? vocab : { [SEPARATOR]: 0 },
      merges,
    },
  };
}
