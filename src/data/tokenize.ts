/** Turns text files into a token data set, in two streaming passes. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { OutputFile } from '../durable.js';
import { UserError } from '../errors.js';
import { writeFolderWhole } from '../files.js';
import { sha256 } from '../hash.js';
import type { BadRows } from './bad-rows.js';
import { DocumentEncoder } from './document-encoder.js';
import { readDocuments } from './documents.js';
import { FLAGGED_FORMAT, INDEX_FORMAT, type TokenIndex } from './shards.js';
import { writeSplit } from './split.js';
import { dtypeFor, flagOf, TokenWriter } from './token-file.js';
import type { SpecialTokens, TextTokenizer } from './tokenizer.js';

/** The progress of the first pass, which takes nearly all of the time. */
export interface TokenizeProgress {
  readonly file: string;
  /** The bytes of the files as they are stored, and the tokens, so far. */
  readonly bytes: number;
  readonly tokens: number;
}

export interface TokenizeOptions {
  readonly tokenizer: TextTokenizer;
  /** The field or column of the text in .jsonl and .parquet; by default `text`. */
  readonly field?: string | undefined;
  /**
   * The field of .jsonl that holds what is trained of each document, [[start, end], …] in characters (code points); by
   * default all is.
   */
  readonly spansField?: string | undefined;
  /** What a special token that is spelled out in a document becomes; by default it is text like any other. */
  readonly specialTokens?: SpecialTokens | undefined;
  /** The folder to make; it must not exist. */
  readonly out: string;
  /** The exact number of tokens to hold out; by default a twentieth, at most a million. */
  readonly heldOutTokens?: number | undefined;
  /** The tokens of a shard, by default 64 Mi. */
  readonly shardTokens?: number;
  /** The seed of the choice of held-out documents. */
  readonly seed?: number;
  /** Decides what is done with bad rows, and counts them; by default they are errors. */
  readonly rows?: BadRows;
  readonly onProgress?: (progress: TokenizeProgress) => void;
}

/**
 * Makes a data set. In the first pass every document becomes ids with its marks, in one temporary file; the second pass
 * is `writeSplit`. The folder appears when it is complete.
 * @throws UserError when `out` exists, a text cannot be read, there are too few tokens to hold out that many, or no
 * span has a token.
 * @example
 * import { TextTokenizer, tokenizeFiles } from 'babelgrad';
 *
 * const tokenizer = TextTokenizer.load('tokenizer.json');
 * for (const language of ['en', 'fr']) {
 *   const files = [`text/${language}.jsonl.gz`];
 *   const index = await tokenizeFiles(files, { tokenizer, out: `data/${language}`, heldOutTokens: 4096 });
 *   console.log(index.text.documents, index.shards, index.heldOut);
 * }
 */
export async function tokenizeFiles(files: readonly string[], options: TokenizeOptions): Promise<TokenIndex> {
  const { out, tokenizer, heldOutTokens, shardTokens = 2 ** 26, seed = 0 } = options;
  const hasSpans = options.spansField !== undefined;
  if (existsSync(out)) throw new UserError(`'${out}' exists already; choose another folder or remove it`);
  if (heldOutTokens !== undefined) checkWhole('the held-out tokens', heldOutTokens, 0);
  checkWhole('the tokens of a shard', shardTokens, 1);
  let index: TokenIndex | undefined;
  await writeFolderWhole(out, async folder => {
    const path = join(folder.path, 'all.tmp');
    const dtype = dtypeFor(tokenizer.vocabSize, hasSpans);
    const { lengths, tokens, trained, textBytes, spelled, sources } = await encodeAll(files, path, dtype, options);
    if (hasSpans && trained === 0) {
      throw new UserError(`no token is in a span of the field '${options.spansField}': there is nothing to train`);
    }
    const wanted = heldOutTokens ?? Math.min(1e6, Math.floor(tokens / 20));
    index = {
      format: hasSpans ? FLAGGED_FORMAT : INDEX_FORMAT,
      dtype,
      vocabSize: tokenizer.vocabSize,
      separatorId: tokenizer.separatorId,
      startIds: [...tokenizer.startIds],
      specialTokens: { as: options.specialTokens ?? 'text', spelled },
      tokenizer: sha256(tokenizer.json),
      ...writeSplit(folder, { path, dtype, lengths }, { heldOutTokens: wanted, shardTokens, seed }),
      text: { bytes: textBytes, documents: lengths.length },
      ...(hasSpans && { trainedTokens: trained }),
      sources,
    };
    rmSync(path);
    folder.write('tokenizer.json', tokenizer.json);
    folder.write('index.json', `${JSON.stringify(index, null, 2)}\n`);
  });
  return index!;
}

function checkWhole(what: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new UserError(`${what} must be a whole number of at least ${least}, not ${value}`);
}

/**
 * Writes the ids of all documents, with flags where they have spans, in the order of the files. `lengths` are the
 * tokens of each, marks included.
 */
async function encodeAll(
  files: readonly string[],
  path: string,
  dtype: 'u16' | 'u32',
  { tokenizer, field, spansField, specialTokens, rows, onProgress }: TokenizeOptions,
) {
  const lengths: number[] = [];
  const sources: TokenIndex['sources'] = [];
  let bytes = 0;
  let tokens = 0;
  let trained = 0;
  let textBytes = 0;
  let spelled = 0;
  const onRead = (more: number) => {
    bytes += more;
  };
  const flag = flagOf(dtype);
  const encoder = new DocumentEncoder(tokenizer, { specialTokens });
  const writer = new TokenWriter(new OutputFile(path), dtype);
  try {
    for (const file of files) {
      let documents = 0;
      let length = 0;
      for await (const part of readDocuments(file, field, onRead, rows, spansField)) {
        for await (const piece of encoder.encode(part)) {
          writer.write(piece.trained ? piece.ids.map((id, i) => (piece.trained![i] ? id : id + flag)) : piece.ids);
          trained += piece.trained?.filter(Boolean).length ?? 0;
          spelled += piece.spelled;
          length += piece.ids.length;
          tokens += piece.ids.length;
        }
        textBytes += Buffer.byteLength(part.text);
        if (part.endOfDocument) {
          lengths.push(length);
          documents++;
          length = 0;
        }
        onProgress?.({ file, bytes, tokens });
      }
      sources.push({ file, documents });
    }
    writer.finish();
  } finally {
    writer.close();
  }
  return { lengths, tokens, trained, textBytes, spelled, sources };
}
