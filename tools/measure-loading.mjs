/**
 * What loading a checkpoint costs beside reading its files: times (CPU seconds of the process, which other work on the
 * machine disturbs less than wall time) and memory.
 *
 *   node tools/measure-loading.mjs FOLDER
 *
 * `read` reads the files into memory of their size, `scan` into one piece of memory again and again (fs.readSync, 1 MiB
 * at a time); `check` reads, checks and widens every value; `fill` makes the model of ones, so that nothing is
 * read; `use` is loadModel for a model that is only used, `train` for one that can be trained. Each is the least of
 * five, in a warm cache. Memory is that of `use`.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readModelConfig } from '../dist/src/checkpoint/hf-config.js';
import { openModel } from '../dist/src/checkpoint/model-folder.js';
import { loadModel, openDevice, parameterSpecs } from '../dist/src/index.js';
import { Model } from '../dist/src/model/model.js';

const [folder] = process.argv.slice(2);
if (!folder) throw new Error('name a folder with config.json and safetensors');
const files = readdirSync(folder)
  .filter(file => file.endsWith('.safetensors'))
  .map(file => join(folder, file));
const MiB = 2 ** 20;

async function timed(body) {
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  await body();
  const { user, system } = process.cpuUsage(cpu);
  return { cpu: (user + system) / 1e6, wall: (performance.now() - start) / 1e3 };
}
async function least(body) {
  const times = [];
  for (let i = 0; i < 5; i++) times.push(await timed(body));
  return { cpu: Math.min(...times.map(({ cpu }) => cpu)), wall: Math.min(...times.map(({ wall }) => wall)) };
}

const device = await openDevice();
await device.idle();
const before = process.resourceUsage().maxRSS / 1024;
const start = device.memory.bytes;
let [peak, deviceMiB] = [0, 0];
const loading = trainable =>
  least(async () => {
    const model = await loadModel(device, folder, { trainable });
    await device.idle();
    peak ||= process.resourceUsage().maxRSS / 1024; // of the first, before memory is used again
    deviceMiB ||= (device.memory.bytes - start) / MiB;
    model.destroy();
  });
const use = await loading(false);
const train = await loading(true);
const fill = await least(async () => {
  const ones = new Float32Array(2 ** 16).fill(1);
  const model = await Model.create(device, readModelConfig(folder), function* ({ shape }) {
    for (let left = shape.reduce((a, b) => a * b); left > 0; left -= ones.length) yield ones.subarray(0, left);
  });
  await device.idle();
  model.destroy();
});
const check = await least(() => {
  const { config, weights } = openModel(folder);
  for (const spec of parameterSpecs(config)) for (const _ of weights.pieces(spec));
  weights.close();
});
const read = await least(() => {
  for (const file of files) readFileSync(file);
});
const piece = new Uint8Array(MiB);
const scan = await least(() => {
  for (const file of files) {
    const handle = openSync(file, 'r');
    while (readSync(handle, piece) > 0);
    closeSync(handle);
  }
});
device.close();
console.log(device.adapter.name);
for (const [name, { cpu, wall }] of Object.entries({ read, scan, check, fill, use, train })) {
  console.log(
    `${name.padEnd(9)} ${cpu.toFixed(3)} s CPU, ${wall.toFixed(3)} s wall, ${(cpu / read.cpu).toFixed(2)} x read`,
  );
}
const largest = Math.max(...files.map(file => statSync(file).size)) / MiB;
console.log(
  `memory    ${(peak - before - deviceMiB).toFixed(0)} MiB beside the ${deviceMiB.toFixed(0)} MiB of the device's buffers; largest file ${largest.toFixed(0)} MiB`,
);
