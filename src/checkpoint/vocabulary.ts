/** Gives a model a larger vocabulary: its tensors stay as they are, with rows for the new tokens. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { checkExtends, type NewToken, newTokens } from '../data/token-pieces.js';
import { TextTokenizer } from '../data/tokenizer.js';
import { largestNeededId } from '../data/tokenizer-file.js';
import { UserError } from '../errors.js';
import { writeFolderWhole } from '../files.js';
import { parseJson } from '../input-files.js';
import { parameterSpecs, TOKEN_TENSORS } from '../model/parameters.js';
import { Random } from '../random.js';
import { readCompanionsOfAnyVocabulary, writeCompanionFiles } from './companions.js';
import { readModelConfig } from './hf-config.js';
import { readObject } from './hf-json.js';
import { floatTensor, writeSafetensors } from './safetensors-write.js';
import { readTrainingRecord } from './training-record.js';
import { isAdapter, WeightFiles } from './weight-files.js';

/**
 * Where the rows of new tokens come from: the mean of their pieces' rows; a normal distribution with the mean and
 * deviation that each column of the old rows has; or a copy of their first piece's row.
 */
export const ROW_INITS = ['mean', 'random', 'copy'] as const;
export type RowInit = (typeof ROW_INITS)[number];

export interface ExtendOptions {
  readonly init?: RowInit | undefined;
  /** The seed of `random` rows. */
  readonly seed?: number | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
}

export interface VocabularyExtension {
  readonly added: readonly NewToken[];
  /** The rows of the embedding. */
  readonly vocabSize: { readonly before: number; readonly after: number };
}

/**
 * Writes the model of `folder` with the vocabulary of `extended` to `out`, whole or not at all. It writes config.json
 * with the new vocab_size, model.safetensors in f32, tokenizer.json and what goes along with it, and the record of the
 * training so far. Rows of old tokens stay as they are; rows of tokens without pieces are the mean of all old rows.
 * AdamW's moments, which have no rows for the new tokens, do not carry over; nor do files that spell the old vocabulary
 * out once more (vocab.json, tokenizer.model, …).
 * @param folder a model folder; look a run's up first, with `findModelFolder`.
 * @throws UserError when `out` exists, `extended` does not extend the model's tokenizer or adds nothing, or the model
 * has too few rows for its own tokenizer.
 * @example
 * import { continueBpe, extendVocabulary, findModelFolder, TextTokenizer } from 'babelgrad';
 *
 * const model = findModelFolder('runs/english');
 * const tokenizer = TextTokenizer.load(`${model}/tokenizer.json`);
 * const extended = await continueBpe(tokenizer, ['text/fr.jsonl.gz'], { add: 200 });
 * const { vocabSize } = await extendVocabulary(model, 'extended', extended, { init: 'mean' });
 * console.log(vocabSize.before, vocabSize.after);
 */
export async function extendVocabulary(
  folder: string,
  out: string,
  extended: TextTokenizer,
  { init = 'mean', seed = 0, onNote }: ExtendOptions = {},
): Promise<VocabularyExtension> {
  if (existsSync(out)) throw new UserError(`'${out}' exists already; choose another folder or remove it`);
  if (isAdapter(folder)) throw new UserError(`'${folder}' is an adapter beside a model: export it to one first`);
  const config = readModelConfig(folder);
  const old = TextTokenizer.load(join(folder, 'tokenizer.json'));
  checkExtends(old, extended);
  const needed = largestNeededId(old.json).id + 1;
  if (needed > config.vocabSize) {
    throw new UserError(
      `'${folder}' has ${config.vocabSize} rows for the ${needed} tokens of its tokenizer.json: ` +
        "they don't belong together",
    );
  }
  const added = await newTokens(old, extended);
  if (added.length === 0) throw new UserError("the new tokenizer has no more tokens than the model's: nothing to add");
  // special tokens may have no row yet
  const withoutRow = Array.from({ length: Math.max(0, old.vocabSize - config.vocabSize) }, (_, i) => {
    return { id: config.vocabSize + i, text: '', pieces: [] };
  });
  const after = Math.max(config.vocabSize, extended.vocabSize); // a model may have rows to spare
  const record = readTrainingRecord(folder);
  const weights = WeightFiles.open(folder);
  try {
    const specs = parameterSpecs(config);
    for (const note of weights.check(specs)) onNote?.(note);
    const tensors = specs.map(spec => {
      const { name, shape } = spec;
      if (!TOKEN_TENSORS.includes(name)) return floatTensor(name, shape, async () => weights.read(spec));
      return floatTensor(name, [after, shape[1]!], async () => {
        const rows = { values: weights.read(spec), columns: shape[1]!, old: Math.min(old.vocabSize, config.vocabSize) };
        return extendRows(rows, after, [...withoutRow, ...added], init, new Random(seed, 'vocabulary', name));
      });
    });
    await writeFolderWhole(out, async target => {
      const given = readObject(join(folder, 'config.json'));
      const { dtype, ...others } = given; // transformers 5 writes it, and reads either
      const json = { ...others, vocab_size: after, torch_dtype: 'float32' };
      target.write('config.json', `${JSON.stringify(json, null, 2)}\n`);
      target.write('tokenizer.json', extended.json);
      writeCompanionFiles(target, readCompanionsOfAnyVocabulary(folder));
      await writeSafetensors(target.create('model.safetensors'), tensors);
      if (record !== undefined) target.write('training.json', withFirstNew(record, old.vocabSize));
    });
  } finally {
    weights.close();
  }
  return { added, vocabSize: { before: config.vocabSize, after } };
}

/** Adds to a training's record from which id on tokens are new. A record that is no object stays as it is. */
function withFirstNew(record: string, firstNewToken: number): string {
  try {
    const state = z.looseObject({}).parse(parseJson(record));
    return `${JSON.stringify({ ...state, firstNewToken }, null, 2)}\n`;
  } catch {
    return record;
  }
}

interface Rows {
  /** The rows [rows, columns]. */
  readonly values: Float32Array;
  readonly columns: number;
  /** The number of rows that belong to old tokens; those behind them are to spare. */
  readonly old: number;
}

/** Returns [after, columns]: the rows there are, with those of `added` made anew. Sums are in float64. */
function extendRows(
  { values, columns, old }: Rows,
  after: number,
  added: readonly NewToken[],
  init: RowInit,
  random: Random,
): Float32Array {
  const rows = new Float32Array(after * columns);
  rows.set(values);
  const everyId = Array.from({ length: old }, (_, id) => id);
  const mean = (ids: readonly number[], column: number) =>
    ids.reduce((sum, id) => sum + values[id * columns + column]!, 0) / ids.length;
  const means = Float64Array.from({ length: columns }, (_, column) => mean(everyId, column));
  const deviations = means.map((m, column) =>
    Math.sqrt(everyId.reduce((sum, id) => sum + (values[id * columns + column]! - m) ** 2, 0) / old),
  );
  const newValue = ({ pieces }: NewToken, column: number): number => {
    if (init === 'random') return means[column]! + deviations[column]! * random.normal();
    if (pieces.length === 0) return means[column]!;
    return init === 'mean' ? mean(pieces, column) : values[pieces[0]! * columns + column]!;
  };
  for (const token of added) {
    for (let column = 0; column < columns; column++) rows[token.id * columns + column] = newValue(token, column);
  }
  return rows;
}
