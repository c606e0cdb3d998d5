/** Folders of runs as `train` and `cpt` write them, with losses that are given. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface MadeRun {
  readonly name: string;
  /** A CPT run from this checkpoint. */
  readonly checkpoint?: string;
  /** What a CPT run recorded of its source's data. */
  readonly origin?: Readonly<Record<string, unknown>>;
  readonly tokenizer?: string;
  /** With it the losses have bits per byte beside them. */
  readonly bytesPerToken?: number | undefined;
  /** Weights by language. */
  readonly sources: Readonly<Record<string, number>>;
  /** Losses by language: at 0, 1000, 2000, … tokens. */
  readonly heldOut: Readonly<Record<string, readonly number[]>>;
  readonly budget?: number;
}

/** @returns the run's folder. */
export function writeRun(root: string, run: MadeRun): string {
  const { name, checkpoint, origin, tokenizer, bytesPerToken, sources, heldOut, budget } = run;
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  const count = Math.max(...Object.values(heldOut).map(losses => losses.length));
  const config = {
    name,
    method: checkpoint === undefined ? 'scratch' : 'cpt',
    ...(checkpoint !== undefined && {
      source: { name: 'source', checkpoint, tokens: 5000, flops: 5e9, tokensPerParameter: 2, ...origin },
    }),
    ...(tokenizer !== undefined && { tokenizer }),
    model: { hiddenSize: 64, numHiddenLayers: 2, vocabSize: 1000 },
    parameters: { total: 1e5, withoutEmbeddings: 5e4, nominal: 'tiny' },
    sources: Object.entries(sources).map(([language, weight]) => ({ name: language, weight })),
    tokens: budget ?? 1000 * (count - 1),
    contextLength: 128,
    batchTokens: 1000,
    schedule: { schedule: 'cosine', learningRate: 1e-3, warmup: 0.05 },
    seed: 0,
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const lines = Array.from({ length: count }, (_, i) => {
    const losses = Object.entries(heldOut).flatMap(([language, values]) => {
      const loss = values[i];
      if (loss === undefined) return [];
      const bits = bytesPerToken === undefined ? {} : { bitsPerByte: loss / bytesPerToken / Math.LN2 };
      return [[language, { loss, tokens: 99, ...bits }] as const];
    });
    const line = { kind: 'evaluation', step: i, tokens: 1000 * i, flops: 6e8 * i };
    return `${JSON.stringify({ ...line, heldOut: Object.fromEntries(losses) })}\n`;
  });
  writeFileSync(join(folder, 'metrics.jsonl'), lines.join(''));
  return folder;
}
