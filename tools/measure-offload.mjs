/**
 * Measures what moments in host memory cost: seconds of a step with `offload: 'moments'` and without, in turns, for
 * moments in f32 and in 8 bits. After `npm run build`: node tools/measure-offload.mjs [ROUNDS]
 */
import { createModel, openDevice, Trainer } from '../dist/src/index.js';

const rounds = Number(process.argv[2] ?? 7);
const [B, T] = [1, 32];
const device = await openDevice();
/** @type {{ momentType: string, offload: string, trainer: Trainer, seconds: number[] }[]} */
const arms = [];
for (const momentType of /** @type {const} */ (['f32', '8bit'])) {
  for (const offload of /** @type {const} */ (['none', 'moments'])) {
    const model = await createModel(device, { preset: 'small', vocabSize: 4096 });
    arms.push({
      momentType,
      offload,
      trainer: await Trainer.create(model, { B, T, momentType, offload }),
      seconds: [],
    });
  }
}
const sequences = Uint32Array.from({ length: B * (T + 1) }, (_, i) => (i * 37) % 4096);
for (let round = -1; round < rounds; round++) {
  for (const { trainer, seconds } of arms) {
    const started = performance.now();
    await trainer.trainStep(sequences, 1e-4);
    await trainer.moments('model.norm.weight');
    if (round >= 0) seconds.push((performance.now() - started) / 1000); // the first round compiles
  }
}
/** @param {number[]} values */
const median = values => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const parameters = arms[0].trainer.model.specs.reduce(
  (sum, { shape }) => sum + shape.reduce((n, size) => n * size, 1),
  0,
);
console.log(`${device.adapter.name}, ${parameters} parameters`);
for (const { momentType, offload, seconds } of arms) {
  const samples = seconds.map(value => value.toFixed(3)).join(' ');
  console.log(`moments ${momentType}, offload ${offload}: median ${median(seconds).toFixed(3)} s of ${samples}`);
}
device.close();
