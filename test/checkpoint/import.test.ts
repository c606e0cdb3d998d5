/**
 * Checkpoints in the layouts of Hugging Face: what is loaded, what it computes, and what is written again. Logits are
 * compared with the project's float64 reference, and with an independent reader in Python where there is one with
 * torch.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exportModel } from '../../src/checkpoint/export.js';
import { readModelConfig } from '../../src/checkpoint/hf-config.js';
import { openModel } from '../../src/checkpoint/model-folder.js';
import { loadModel, logits, saveModel } from '../../src/index.js';
import { parameterSpecs } from '../../src/model/parameters.js';
import { U } from '../../src/numerics/bounds.js';
import { llama } from '../../src/numerics/llama.js';
import { LAYOUTS, type RawTensor, writeCheckpoint } from '../support/checkpoints.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
const root = mkdtempSync(join(tmpdir(), 'babelgrad-import-'));
const names = Object.keys(LAYOUTS);
const folderOf = (name: string) => join(root, `layout-${names.indexOf(name)}`);
const tensors = new Map<string, ReadonlyMap<string, RawTensor>>();
beforeAll(() => {
  for (const name of names) tensors.set(name, writeCheckpoint(folderOf(name), LAYOUTS[name]!));
});
afterAll(() => rmSync(root, { recursive: true }));

const [B, T] = [2, 96];
const ids = Uint32Array.from({ length: B * T }, (_, i) => (i * i + 7 * i) % 67);
const rows = Array.from({ length: B }, (_, b) => [...ids.subarray(b * T, (b + 1) * T)]);

/**
 * Of a result computed in a format of unit roundoff u, by hundreds of roundings a value that add up like a random walk:
 * 100 u of the largest value, as in test/model/golden.test.ts.
 */
const bound = (reference: Float64Array, u: number) => 100 * u * reference.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
const U64 = 2 ** -53;

function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= most)) most = difference;
  }
  return most;
}

/**
 * Logits in float64 by the project's own reference, from the file's values; with or without the folder's rope scaling.
 */
function referenceLogits(folder: string, { scaled = true } = {}): Float64Array {
  const { config, weights } = openModel(folder);
  const values = new Map(parameterSpecs(config).map(spec => [spec.name, Float64Array.from(weights.read(spec))]));
  weights.close();
  const shape = scaled ? config : { ...config, ropeScaling: undefined };
  return Float64Array.from(llama(shape, values, ids, ids, T).logits);
}

/** A stored value, from its bytes alone. */
function decode({ dtype, bytes }: RawTensor): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = dtype === 'F32' ? 4 : 2;
  return Float32Array.from({ length: bytes.length / width }, (_, i) => {
    if (dtype === 'F32') return view.getFloat32(4 * i, true);
    const bits = view.getUint16(2 * i, true);
    const [fractionBits, bias] = dtype === 'BF16' ? [7, 127] : [10, 15];
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits & 0x7fff) >> fractionBits;
    const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
    return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
  });
}

describe.each(names)('%s', name => {
  const folder = folderOf(name);

  test('every weight is on the device as it is in the file, and logits are those of float64', async () => {
    const model = await loadModel(context.device, folder);
    for (const [tensor, raw] of tensors.get(name)!) expect(await model.read(tensor), tensor).toEqual(decode(raw));
    const reference = referenceLogits(folder);
    expect(distance(await logits(model, ids, { B, T }), reference)).toBeLessThan(bound(reference, U));
    if (model.config.ropeScaling) {
      const unscaled = distance(referenceLogits(folder, { scaled: false }), reference);
      expect(unscaled, 'what leaving out the scaling would do').toBeGreaterThan(1000 * bound(reference, U));
    }
    model.destroy();
  });

  test('exported in its own type every tensor keeps its bytes, and config.json its meaning', async () => {
    const { dtype } = LAYOUTS[name]!;
    for (const [i, shardBytes] of [undefined, 20_000].entries()) {
      const out = join(root, `again-${names.indexOf(name)}-${i}`);
      const { weights } = await exportModel(folder, out, { type: dtype as 'F32' | 'F16' | 'BF16', shardBytes });
      if (shardBytes) expect(weights.length).toBeGreaterThan(2);
      else expect(weights).toEqual(['model.safetensors']);
      const written = new Map(weights.flatMap(file => [...readRaw(join(out, file))]));
      expect([...written.keys()].sort()).toEqual([...tensors.get(name)!.keys()].sort());
      for (const [tensor, raw] of tensors.get(name)!) {
        expect(written.get(tensor), tensor).toMatchObject({ dtype, shape: raw.shape });
        expect(Buffer.compare(written.get(tensor)!.bytes, raw.bytes), tensor).toBe(0);
      }
      expect(readModelConfig(out)).toEqual(readModelConfig(folder));
      expect(JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))).toMatchObject({
        eos_token_id: LAYOUTS[name]!.config.eos_token_id ?? null,
      });
    }
  });

  test('saved from the device it is the same model', async () => {
    const out = join(root, `saved-${names.indexOf(name)}`);
    const model = await loadModel(context.device, folder);
    await saveModel(model, out);
    model.destroy();
    expect(readModelConfig(out)).toEqual(readModelConfig(folder));
    expect(referenceLogits(out)).toEqual(referenceLogits(folder));
  });
});

/** Reads a whole file, apart from the project's own reader. */
function readRaw(path: string): Map<string, RawTensor> {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, start).toString()) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [from, to],
          },
        ]) => [name, { dtype, shape, bytes: Uint8Array.from(file.subarray(start + from, start + to)) }],
      ),
  );
}

describe('an independent reader in Python', () => {
  const program = fileURLToPath(new URL('../support/llama_torch.py', import.meta.url));
  const python = ['/usr/bin/python3', 'python3'].find(
    command => spawnSync(command, ['-c', 'import torch, numpy']).status === 0,
  );

  test('gives the same logits for what is imported and for what is exported', async ({ skip }) => {
    if (!python) return skip('there is no python3 with torch and numpy here');
    const exported = join(root, 'for-python');
    for (const [i, name] of names.entries()) {
      await exportModel(folderOf(name), join(exported, `${i}`), { type: i % 2 ? 'BF16' : 'F16', shardBytes: 30_000 });
    }
    expect(readdirSync(join(exported, '0'))).toContain('model.safetensors.index.json');
    const folders = [...names.map(folderOf), ...names.map((_, i) => join(exported, `${i}`))];
    const output = execFileSync(python, [program, ...folders], {
      input: JSON.stringify(rows),
      maxBuffer: 2 ** 28,
      env: { ...process.env, LD_LIBRARY_PATH: '', OMP_NUM_THREADS: '1' },
    });
    const all = new Float64Array(new Uint8Array(output).buffer);
    const size = all.length / folders.length;
    for (const [i, folder] of folders.entries()) {
      const theirs = all.subarray(i * size, (i + 1) * size);
      expect(distance(referenceLogits(folder), theirs), `${folder}, both in float64`).toBeLessThan(bound(theirs, U64));
      const model = await loadModel(context.device, folder);
      const ours = await logits(model, ids, { B, T });
      expect(distance(ours, theirs), `${folder}, f32 on the device`).toBeLessThan(bound(theirs, U));
      model.destroy();
    }
  });
});
