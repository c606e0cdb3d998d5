/** The arrays of a task, which lie in files. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The version of a package that is installed beside this file. */
export const versionOf = name =>
  JSON.parse(readFileSync(join(import.meta.dirname, 'node_modules', name, 'package.json'), 'utf8')).version;

export const readFloats = (task, name) =>
  new Float32Array(Uint8Array.from(readFileSync(join(task.folder, `${name}.f32`))).buffer);
export const readWords = (task, name) =>
  new Uint32Array(Uint8Array.from(readFileSync(join(task.folder, `${name}.u32`))).buffer);

/** Token ids and targets, [B·T] each, of every batch in a step's task. */
export function readBatches(task) {
  const { B, T, steps } = task;
  const words = readWords(task, 'batches');
  return Array.from({ length: steps }, (_, step) => {
    const ids = new Int32Array(B * T);
    const targets = new Int32Array(B * T);
    for (let i = 0; i < B * T; i++) {
      const at = (step * B + Math.floor(i / T)) * (T + 1) + (i % T);
      ids[i] = words[at];
      targets[i] = words[at + 1];
    }
    return { ids, targets };
  });
}

/** cos and sin [T, D/2] of rotary embedding, from float64. */
export function rotaryTables({ T, model }) {
  const half = model.headDim / 2;
  const angle = i => Math.floor(i / half) * model.ropeTheta ** (-(i % half) / half);
  const table = f => Float32Array.from({ length: T * half }, (_, i) => f(angle(i)));
  return { cos: table(Math.cos), sin: table(Math.sin) };
}
