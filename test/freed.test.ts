/** What holds memory gives it back at the end of a `using` block, once, and as `destroy` and `close` do. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  CachedModel,
  createModel,
  openDevice,
  serveWatch,
  TokenDataset,
  TokenLosses,
  Trainer,
  tokenizeFiles,
  trainTokenizer,
} from '../src/index.js';
import { sampleText } from './support/text.js';

test('everything on a device, and the device', async () => {
  using device = await openDevice();
  const ids = Uint32Array.from({ length: 9 }, (_, i) => i);
  /** Steps, losses and logits of a new model, which is gone at the end. */
  const work = async (): Promise<readonly number[]> => {
    using model = await createModel(device, { preset: 'tiny', vocabSize: 16 });
    using trainer = await Trainer.create(model, { B: 1, T: 8 });
    using losses = await TokenLosses.create(model, { B: 1, T: 8 });
    using cached = await CachedModel.create(model, { B: 1, T: 8, capacity: 9 });
    expect(trainer.settings).toMatchObject({ microBatches: 1, optimizer: { beta2: 0.95, clip: 1 } });
    const { loss } = await trainer.trainStep(ids, 1e-3);
    expect(device.memory.bytes).toBeGreaterThan(staging);
    const made = [loss, ...(await losses.of(ids)), ...(await cached.prefill([ids.slice(0, 8)]))];
    trainer.destroy(); // and once more at the end of the block
    model.destroy();
    return made;
  };
  let staging = 0;
  const first = await work();
  staging = device.memory.bytes; // the largest readback buffer stays with the device
  expect(await work()).toEqual(first);
  expect(device.memory.bytes).toBe(staging);
});

test('files of a data set, and a server', async () => {
  const root = mkdtempSync(join(tmpdir(), 'babelgrad-freed-'));
  try {
    const text = join(root, 'en.txt');
    writeFileSync(text, sampleText(0, 2000));
    const tokenizer = await trainTokenizer([text], {
      vocabSize: 280,
      field: 'text',
      out: join(root, 'tokenizer.json'),
    });
    await tokenizeFiles([text], { tokenizer, field: 'text', out: join(root, 'en') });
    let left: TokenDataset;
    {
      using data = TokenDataset.open(join(root, 'en'));
      expect(data.readTrain(0, 4)).toHaveLength(4);
      left = data;
    }
    expect(() => left.readTrain(0, 4)).toThrow(/the data set was closed/);
    let url: string;
    {
      using server = await serveWatch(root, 0);
      url = server.url;
      expect((await fetch(url)).status).toBe(200);
    }
    await expect(fetch(url)).rejects.toThrow();
  } finally {
    rmSync(root, { recursive: true });
  }
});
