/** Folders of runs as `train` and `cpt` write them, with losses that are given. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface MadeRun {
  readonly name: string;
  /** A CPT run from this checkpoint. */
  readonly checkpoint?: string;
  /** Weights by language. */
  readonly sources: Readonly<Record<string, number>>;
  /** Losses by language: at 0, 1000, 2000, … tokens. */
  readonly heldOut: Readonly<Record<string, readonly number[]>>;
  readonly budget?: number;
}

/** @returns the run's folder. */
export function writeRun(root: string, { name, checkpoint, sources, heldOut, budget }: MadeRun): string {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  const count = Math.max(...Object.values(heldOut).map(losses => losses.length));
  const config = {
    name,
    method: checkpoint === undefined ? 'scratch' : 'cpt',
    ...(checkpoint !== undefined && {
      source: { name: 'source', checkpoint, tokens: 5000, flops: 5e9, tokensPerParameter: 2 },
    }),
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
    const losses = Object.entries(heldOut).flatMap(([language, values]) =>
      values[i] === undefined ? [] : [[language, { loss: values[i], tokens: 99 }] as const],
    );
    const line = { kind: 'evaluation', step: i, tokens: 1000 * i, flops: 6e8 * i };
    return `${JSON.stringify({ ...line, heldOut: Object.fromEntries(losses) })}\n`;
  });
  writeFileSync(join(folder, 'metrics.jsonl'), lines.join(''));
  return folder;
}
