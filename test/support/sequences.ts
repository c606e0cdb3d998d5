/** Sequences that a small model learns. */
import { Random } from '../../src/random.js';

/** Batches [B, T+1] in which most ids follow from the one before: 5·id + 7. A tenth, and the first, are drawn. */
export function nearlyCounting(
  count: number,
  { B, T, vocabSize }: Readonly<Record<'B' | 'T' | 'vocabSize', number>>,
): Uint32Array[] {
  const random = new Random(11);
  return Array.from({ length: count }, () => {
    const sequences = new Uint32Array(B * (T + 1));
    for (let i = 0; i < sequences.length; i++) {
      const fresh = i % (T + 1) === 0 || random.uniform() < 0.1;
      sequences[i] = fresh ? random.integer(vocabSize) : (5 * sequences[i - 1]! + 7) % vocabSize;
    }
    return sequences;
  });
}
