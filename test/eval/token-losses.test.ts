/** Losses of single tokens. */
import { expect, test } from 'vitest';
import { TokenLosses } from '../../src/eval/token-losses.js';
import { loadModel } from '../../src/index.js';
import { IGNORED_TARGET } from '../../src/kernels/cross-entropy.js';
import { Random } from '../../src/random.js';
import { goldenFolder, goldenShape } from '../support/golden.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();

test('the loss of an ignored target is 0, and padding changes nothing before it', async () => {
  const model = await loadModel(context.device, goldenFolder);
  const random = new Random(5, 'losses');
  const whole = Uint32Array.from({ length: 17 }, () => random.integer(goldenShape.vocabSize));
  const cut = whole.slice();
  cut.fill(IGNORED_TARGET, 9);
  const evaluator = await TokenLosses.create(model, { B: 2, T: 16 });
  const losses = await evaluator.of(Uint32Array.from([...whole, ...cut]));
  expect(losses.slice(16, 24)).toEqual(losses.slice(0, 8));
  expect(losses.slice(24)).toEqual(new Float32Array(8));
  await expect(evaluator.of(whole.subarray(1))).rejects.toThrow('16 token ids are not [1, 17]: 17 are expected');
  evaluator.destroy();
  model.destroy();
});
