/**
 * What loading a checkpoint costs beside reading its files: times (CPU seconds of the process, which other work on the
 * machine disturbs less than wall time) and memory.
 *
 *   node tools/measure-loading.mjs FOLDER
 *
 * `read` reads the files into memory, `check` reads, checks and widens every value, `allocate` makes the device's buffers
 * and clears them, `load` is loadModel. The first two are the least of five, in a warm cache.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { loadModel, openDevice, parameterSpecs } from '../dist/src/index.js';
import { openModel } from '../dist/src/train/model-folder.js';

const [folder] = process.argv.slice(2);
if (!folder) throw new Error('name a folder with config.json and safetensors');
const files = readdirSync(folder).filter(file => file.endsWith('.safetensors')).map(file => join(folder, file));
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
let model;
const load = await timed(async () => {
  model = await loadModel(device, folder);
  await device.idle();
});
const peak = process.resourceUsage().maxRSS / 1024;
const deviceMiB = device.memory.bytes / MiB;
const allocate = await timed(async () => {
  const buffers = model.groups.map(({ name }) => device.createBuffer(name, model.weight(name).buffer.sizeBytes));
  device.submit(buffers.map(buffer => ({ kind: 'clear', buffer })));
  await device.idle();
});
const check = await least(() => {
  const { config, weights } = openModel(folder);
  for (const spec of parameterSpecs(config)) for (const _ of weights.pieces(spec));
  weights.close();
});
const read = await least(() => {
  for (const file of files) readFileSync(file);
});
device.close();
console.log(device.adapter.name);
for (const [name, { cpu, wall }] of Object.entries({ read, check, allocate, load })) {
  console.log(`${name.padEnd(9)} ${cpu.toFixed(3)} s CPU, ${wall.toFixed(3)} s wall, ${(cpu / read.cpu).toFixed(2)} x read`);
}
const largest = Math.max(...files.map(file => statSync(file).size)) / MiB;
console.log(
  `memory    ${(peak - before - deviceMiB).toFixed(0)} MiB beside the ${deviceMiB.toFixed(0)} MiB of the device's buffers; largest file ${largest.toFixed(0)} MiB`,
);
