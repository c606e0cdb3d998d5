/** Loss, perplexity and bits per byte of a model on a text. */
import { IGNORED_TARGET } from '../kernels/rows.js';
import { sequencesOf } from './loss.js';
import type { TokenLosses } from './token-losses.js';

export interface TextLoss {
  /** Mean over all predicted tokens, separators among them, in nats. */
  readonly loss: number;
  /** exp(loss) */
  readonly perplexity: number;
  /** Bits that the tokens of the text took, over its UTF-8 bytes; separators are no text and count on neither side. */
  readonly bitsPerByte: number;
  readonly tokens: number;
  readonly bytes: number;
}

/**
 * Scores `ids`, every one but the first, in sequences of T that know nothing of each other.
 * @param text.bytes UTF-8 bytes of what the predicted ids spell.
 * @param onScored is told how many more sequences were scored.
 */
export async function textLoss(
  evaluator: Pick<TokenLosses, 'shape' | 'of'>,
  { ids, bytes, separatorId }: { readonly ids: Uint32Array; readonly bytes: number; readonly separatorId: number },
  onScored?: (sequences: number) => void,
): Promise<TextLoss> {
  const { B, T } = evaluator.shape;
  const sequences = sequencesOf(ids, T);
  const sums = { text: 0, separators: 0 };
  let tokens = 0;
  for (let start = 0; start < sequences.length; start += B * (T + 1)) {
    const batch = sequences.subarray(start, start + B * (T + 1));
    const losses = await evaluator.of(batch);
    losses.forEach((loss, i) => {
      const id = batch[i + Math.floor(i / T) + 1]!;
      if (id === IGNORED_TARGET) return;
      sums[id === separatorId ? 'separators' : 'text'] += loss;
      tokens++;
    });
    onScored?.(batch.length / (T + 1));
  }
  const loss = (sums.text + sums.separators) / tokens;
  return { loss, perplexity: Math.exp(loss), bitsPerByte: sums.text / Math.LN2 / bytes, tokens, bytes };
}
