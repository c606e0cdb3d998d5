/** When `generate` says that a model cannot write yet. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { notYetWriting } from '../../src/cli/writing.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-writing-'));
afterAll(() => rmSync(root, { recursive: true }));

interface Recorded {
  readonly tokens: number;
  readonly losses?: Record<string, number>;
  readonly source?: { readonly tokens: number };
}

let count = 0;
/** Makes the records of a run with 1000 parameters, and returns its checkpoint. */
function checkpointOf({ tokens, losses, source }: Recorded): string {
  const run = join(root, `run-${count++}`);
  const checkpoint = join(run, 'checkpoints', 'step-00000010');
  mkdirSync(checkpoint, { recursive: true });
  const state = {
    format: 'babelgrad training state 1',
    run: 'x',
    step: 10,
    tokens,
    flops: 1,
    parameters: 1000,
    mixture: { drawn: [1] },
  };
  writeFileSync(join(checkpoint, 'training.json'), JSON.stringify(state));
  const origin = source && { checkpoint: 'y', name: 'y', flops: 0, tokensPerParameter: 0, ...source };
  const config = {
    format: 'babelgrad run 1',
    name: 'x',
    method: source ? 'cpt' : 'scratch',
    ...(origin && { source: origin }),
    model: { hiddenSize: 1, numHiddenLayers: 1, vocabSize: 1 },
    parameters: { total: 1000, withoutEmbeddings: 1, nominal: null },
    sources: [{ name: 'en', weight: 1 }],
    tokens: 1,
    contextLength: 1,
    batchTokens: 1,
    schedule: { schedule: 'cosine', learningRate: 1, warmup: 0 },
    seed: 0,
  };
  writeFileSync(join(run, 'config.json'), JSON.stringify(config));
  const heldOut = Object.entries(losses ?? {}).map(([name, loss]) => [name, { loss, tokens: 100 }]);
  const line = { kind: 'evaluation', step: 10, tokens, flops: 1, heldOut: Object.fromEntries(heldOut) };
  writeFileSync(join(run, 'metrics.jsonl'), losses ? `${JSON.stringify(line)}\n` : '');
  return checkpoint;
}

test('by the held-out loss of the best language, with the tokens that were seen', () => {
  expect(notYetWriting(checkpointOf({ tokens: 250, losses: { fr: 7, en: Math.log(200) } }))).toBe(
    'this model cannot write yet: its held-out perplexity is 200 in en, after 0.25 tokens per parameter (20 are usual)',
  );
  expect(notYetWriting(checkpointOf({ tokens: 250, losses: { fr: 7, en: Math.log(99) } }))).toBeUndefined();
  const cpt = { tokens: 500, losses: { fr: 7 }, source: { tokens: 20_000 } };
  expect(notYetWriting(checkpointOf(cpt))).toContain('after 21 tokens per parameter');
  expect(notYetWriting(checkpointOf({ ...cpt, source: { tokens: 0 } }))).toMatch(/perplexity is 1097 in fr$/);
});

test('by the tokens alone where nothing was evaluated, and of a model from elsewhere not at all', () => {
  expect(notYetWriting(checkpointOf({ tokens: 250 }))).toMatch(/^this model cannot write yet, after 0.25 tokens/);
  expect(notYetWriting(checkpointOf({ tokens: 1000 }))).toBeUndefined();
  expect(notYetWriting(checkpointOf({ tokens: 10, source: { tokens: 0 } }))).toBeUndefined();
  expect(notYetWriting(checkpointOf({ tokens: 10, source: { tokens: 5000 } }))).toBeUndefined();
});

test('without a record there is silence', () => {
  expect(notYetWriting(join(root, 'nowhere'))).toBeUndefined();
  const checkpoint = checkpointOf({ tokens: 1 });
  rmSync(join(checkpoint, 'training.json'));
  expect(notYetWriting(checkpoint)).toBeUndefined();
});
