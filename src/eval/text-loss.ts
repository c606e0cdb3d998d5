/** Loss, perplexity and bits per byte of a model on a text, for runs and for `eval loss`. */
import { UserError } from '../errors.js';
import { IGNORED_TARGET } from '../kernels/cross-entropy.js';
import { checkIdArray, checkSizes } from '../model/batch.js';
import type { TokenLosses } from './token-losses.js';

export interface TextLoss {
  /** The mean loss in nats over all predicted tokens, the marks around documents among them. */
  readonly loss: number;
  /** exp(loss) */
  readonly perplexity: number;
  /** The bits that the tokens of the text took, over its UTF-8 bytes; marks are no text and count on neither side. */
  readonly bitsPerByte: number;
  readonly tokens: number;
  readonly bytes: number;
}

export type Losses = Pick<TokenLosses, 'shape' | 'of'>;

/**
 * Cuts ids into sequences [n, T+1] that predict every id but the first; the last is filled up with IGNORED_TARGET.
 * @throws UserError when ids or T are not sound.
 */
export function sequencesOf(ids: Uint32Array, T: number): Uint32Array {
  checkIdArray(ids);
  checkSizes({ T });
  const count = Math.ceil(Math.max(0, ids.length - 1) / T);
  const sequences = new Uint32Array(count * (T + 1)).fill(IGNORED_TARGET);
  for (let i = 0; i < count; i++) sequences.set(ids.subarray(i * T, i * T + T + 1), i * (T + 1));
  return sequences;
}

/** Every `size`-th batch from number `rank` on. */
export interface Share {
  readonly rank: number;
  readonly size: number;
}
const WHOLE: Share = { rank: 0, size: 1 };

/** Tells `visit` the loss in nats of every prediction of sequences [n, T+1], and the id that was predicted. */
async function eachLoss(
  evaluator: Losses,
  sequences: Uint32Array,
  visit: (nats: number, id: number) => void,
  onScored?: (sequences: number) => void,
  { rank, size }: Share = WHOLE,
): Promise<void> {
  const { B, T } = evaluator.shape;
  const stride = B * (T + 1);
  for (let start = rank * stride; start < sequences.length; start += size * stride) {
    const batch = sequences.subarray(start, start + stride);
    const losses = await evaluator.of(batch);
    losses.forEach((loss, i) => {
      const id = batch[i + Math.floor(i / T) + 1]!;
      if (id !== IGNORED_TARGET) visit(loss, id);
    });
    onScored?.(batch.length / (T + 1));
  }
}

/** Returns the mean loss in nats over all predictions of sequences [n, T+1]. Sums are float64. */
export async function meanLoss(evaluator: Losses, sequences: Uint32Array): Promise<number> {
  let [sum, tokens] = [0, 0];
  await eachLoss(evaluator, sequences, nats => {
    sum += nats;
    tokens++;
  });
  return sum / tokens;
}

/**
 * Scores every one of `ids` but the first, in sequences of T that know nothing of each other.
 * @param text.bytes the UTF-8 bytes that the predicted ids spell, without the marks around documents.
 * @param onScored is told how many more sequences were scored.
 * @throws UserError when the ids are not sound, or fewer than two.
 * @example
 * import { findModelFolder, loadModel, openDevice, readHeldOutText, textLoss, TokenLosses } from 'babelgrad';
 *
 * const device = await openDevice();
 * const folder = findModelFolder('runs/english');
 * const model = await loadModel(device, folder, { trainable: false });
 * const losses = await TokenLosses.create(model, { B: 8, T: 128 });
 * const text = await readHeldOutText('data/en', { folder, vocabSize: model.config.vocabSize });
 * const { loss, bitsPerByte } = await textLoss(losses, text);
 * console.log(loss, bitsPerByte);
 */
export async function textLoss(
  evaluator: Losses,
  text: { readonly ids: Uint32Array; readonly bytes: number; readonly markIds: ReadonlySet<number> },
  onScored?: (sequences: number) => void,
): Promise<TextLoss> {
  return lossOfSums(text, [await textSums(evaluator, text, WHOLE, onScored)]);
}

/** Sums of losses in nats, of a text's own tokens and of the marks around documents, and the number of both. */
export interface TextSums {
  readonly text: number;
  readonly marks: number;
  readonly tokens: number;
}

/** Scores a share of a text's batches. @throws UserError as `textLoss`. */
export async function textSums(
  evaluator: Losses,
  { ids, markIds }: { readonly ids: Uint32Array; readonly markIds: ReadonlySet<number> },
  share: Share,
  onScored?: (sequences: number) => void,
): Promise<TextSums> {
  if (ids.length < 2)
    throw new UserError(`a text of ${ids.length} token id(s) has none to predict; it needs at least 2`);
  const sums = { text: 0, marks: 0 };
  let tokens = 0;
  const visit = (nats: number, id: number) => {
    sums[markIds.has(id) ? 'marks' : 'text'] += nats;
    tokens++;
  };
  await eachLoss(evaluator, sequencesOf(ids, evaluator.shape.T), visit, onScored, share);
  return { ...sums, tokens };
}

/** Returns the loss of a text whose shares were scored apart. */
export function lossOfSums({ bytes }: { readonly bytes: number }, shares: readonly TextSums[]): TextLoss {
  const total = (field: keyof TextSums) => shares.reduce((sum, share) => sum + share[field], 0);
  const [text, tokens] = [total('text'), total('tokens')];
  const loss = (text + total('marks')) / tokens;
  return { loss, perplexity: Math.exp(loss), bitsPerByte: text / Math.LN2 / bytes, tokens, bytes };
}
