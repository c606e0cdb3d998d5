/** The record of a model's training, which goes along with it into other folders. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { originOf, readTrainingRecord } from '../../src/checkpoint/training-record.js';
import { temporaryFolder } from '../data/temporary.js';

const { folder } = temporaryFolder();
const state = {
  format: 'babelgrad training state 1',
  run: 'english',
  step: 2,
  tokens: 256,
  flops: 1e6,
  parameters: 64,
  mixture: { drawn: [8] },
};
const sources = [{ name: 'en', weight: 1 }];

/** RUN/checkpoints/step-00000002 with a training.json, of a run in this data. */
function makeCheckpoint(run: string, record: object): string {
  const checkpoint = join(folder, run, 'checkpoints', 'step-00000002');
  mkdirSync(checkpoint, { recursive: true });
  const config = { sources: [{ name: 'sw', weight: 1, path: 'data/sw', trainTokens: 5 }], tokenizer: 'of the run' };
  writeFileSync(join(folder, run, 'config.json'), JSON.stringify(config));
  writeFileSync(join(checkpoint, 'training.json'), JSON.stringify(record));
  return checkpoint;
}

test('is as the checkpoint has it, and says what a run comes from', () => {
  const record = { ...state, sources, tokenizer: 'A' };
  const checkpoint = makeCheckpoint('new', record);
  expect(readTrainingRecord(checkpoint)).toBe(JSON.stringify(record));
  expect(originOf(checkpoint)).toMatchObject({ name: 'english', sources, tokenizer: 'A', tokensPerParameter: 4 });
});

test('of a checkpoint from before the data was recorded has that of its run', () => {
  const checkpoint = makeCheckpoint('old', state);
  const record = JSON.parse(readTrainingRecord(checkpoint)!) as object;
  expect(record).toEqual({ ...state, sources: [{ name: 'sw', weight: 1 }], tokenizer: 'of the run' });
  expect(originOf(checkpoint)).not.toHaveProperty('sources');
});

test('elsewhere, or of no run, is as it is', () => {
  const extended = join(folder, 'a', 'b', 'extended');
  mkdirSync(extended, { recursive: true });
  expect(readTrainingRecord(extended)).toBeUndefined();
  for (const text of [JSON.stringify(state), '{"kept": "as it is"}', 'no JSON']) {
    writeFileSync(join(extended, 'training.json'), text);
    expect(readTrainingRecord(extended)).toBe(text);
  }
});
