// The public interface in one file: make a small model, look at its loss and gradients, train it for a few steps, save
// it, load it again. Run it in a checkout with `node docs/example.mjs`.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createModel, loadModel, logits, loss, lossAndGradients, openDevice, saveModel, Trainer } from 'babelgrad';

const device = await openDevice();
console.log(`adapter: ${device.adapter.name}`);

const model = await createModel(device, { preset: 'tiny', vocabSize: 64 }, { seed: 1 });

// A batch is B sequences of T + 1 token ids: T inputs, and for each the next token as its target. These count upwards.
const [B, T] = [4, 16];
const sequences = Uint32Array.from(
  { length: B * (T + 1) },
  (_, i) => (7 * Math.floor(i / (T + 1)) + (i % (T + 1))) % 64,
);
console.log(
  `loss before: ${(await loss(model, sequences, { B, T })).toFixed(3)} (log 64 = ${Math.log(64).toFixed(3)})`,
);

const { gradients } = await lossAndGradients(model, sequences, { B, T });
// by Hugging Face name: a Float32Array of [H * headDim, hiddenSize]
const gradient = gradients.get('model.layers.0.self_attn.q_proj.weight') ?? [];
console.log(`gradient of layer 0's queries, norm: ${Math.hypot(...gradient).toExponential(2)}`);

const trainer = await Trainer.create(model, { B, T });
for (let step = 0; step < 50; step++) await trainer.trainStep(sequences, 1e-2);
console.log(`loss after ${trainer.step} steps: ${(await loss(model, sequences, { B, T })).toFixed(3)}`);

const folder = join(mkdtempSync(join(tmpdir(), 'babelgrad-')), 'model');
await saveModel(model, folder); // config.json and model.safetensors, as Hugging Face's LLaMA has them
const again = await loadModel(device, folder);
const inputs = sequences.filter((_, i) => i % (T + 1) < T); // [B, T]
const values = await logits(again, inputs, { B, T }); // [B, T, vocabSize]
const last = values.subarray(-model.config.vocabSize);
console.log(`after ${inputs.at(-1)} comes ${last.indexOf(Math.max(...last))}; saved in ${folder}`);

trainer.destroy();
model.destroy();
again.destroy();
device.close();
