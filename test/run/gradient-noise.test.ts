/** Norms of gradients of a run's checkpoint, against float64 gradients of each of the same sequences. */
import { expect, test } from 'vitest';
import { loadModel } from '../../src/checkpoint/model-folder.js';
import { llama } from '../../src/numerics/llama.js';
import { readRunConfig } from '../../src/run/folder.js';
import { gradientNorms } from '../../src/run/gradient-noise.js';
import { mixtureOf } from '../../src/run/mixture.js';
import { openData } from '../../src/run/run-data.js';
import { noiseScale } from '../../src/scaling/noise-scale.js';
import { useDevice } from '../support/gpu.js';
import { useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const runs = useSmallRuns(context);

test('the noise scale is that of float64 gradients, and the weights stay as they are', async () => {
  await runs.start('noisy', { momentType: '8bit', freezeBodyTokens: undefined });
  const run = readRunConfig(runs.run('noisy'));
  const data = openData(run.sources, run.heldOut);
  const model = await loadModel(context.device, runs.lastCheckpoint('noisy'));
  const weights = new Map<string, Float64Array>();
  for (const { name } of model.specs) weights.set(name, Float64Array.from(await model.read(name)));

  const [small, large, T] = [1, 8, run.contextLength];
  const progress: number[] = [];
  const onProgress = (sequences: number) => void progress.push(sequences);
  const draws = await gradientNorms(run, model, data, { small, large, draws: 2, seed: 7, onProgress });
  expect(progress.at(-1)).toBe(2 * 2 * large);
  for (const { name } of model.specs) {
    expect(Float64Array.from(await model.read(name)), name).toEqual(weights.get(name));
  }

  const mixture = mixtureOf(run, data, 7);
  const covariances: number[] = [];
  for (const draw of draws) {
    const gradients = Array.from({ length: large }, () => {
      const { tokens } = mixture.nextSequence();
      const { gradients: each } = llama(run.model, weights, tokens.subarray(0, T), tokens.subarray(1), T);
      return [...each.values()].flatMap(values => [...values]);
    });
    const mean = gradients[0]!.map((_, i) => gradients.reduce((sum, each) => sum + each[i]!, 0) / large);
    const squared = (vector: readonly number[]) => vector.reduce((sum, value) => sum + value * value, 0);
    const ofSmall = gradients.reduce((sum, each) => sum + squared(each), 0) / large;
    // f32 sums of 20,000 squares, each of a gradient whose relative error is below 1e-5 here
    expect(Math.abs(draw.large / squared(mean) - 1)).toBeLessThan(1e-4);
    expect(Math.abs(draw.small / ofSmall - 1)).toBeLessThan(1e-4);
    // the trace of the sample covariance, straight from its definition
    const deviations = gradients.map(each => squared(each.map((value, i) => value - mean[i]!)));
    covariances.push(deviations.reduce((sum, value) => sum + value, 0) / (large - 1));
  }
  const { noise } = noiseScale(draws, { small, large });
  expect(Math.abs(noise / ((covariances[0]! + covariances[1]!) / 2) - 1)).toBeLessThan(3e-4);

  // an interruption in the second group of draws leaves the first
  const abort = new AbortController();
  const sizes = { small: 1, large: 2, draws: 6, seed: 7 };
  const whole = await gradientNorms(run, model, data, sizes);
  const stopped = await gradientNorms(run, model, data, {
    ...sizes,
    onProgress: count => count > 2 * 4 * 2 && abort.abort(),
    signal: abort.signal,
  });
  expect(whole).toHaveLength(6);
  expect(stopped).toEqual(whole.slice(0, 4));
  model.destroy();
  data.close();
}, 120_000);
