/** Tensors larger than a piece: read and written a piece at a time, in the same memory. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.js';
import { floatTensor, writeSafetensors } from '../../src/checkpoint/safetensors-write.js';
import { WEIGHT_TYPES } from '../../src/checkpoint/weight-types.js';
import { OutputFile } from '../../src/durable.js';
import { Random } from '../../src/random.js';
import { packed, safetensors } from '../support/checkpoints.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-safetensors-'));
afterAll(() => rmSync(root, { recursive: true }));

const shape = [1001, 701]; // pieces of which the last is of odd length
const random = new Random(1, 'values');
/** Multiples of 1/16 up to 8, which every type holds. */
const values = Float32Array.from({ length: 1001 * 701 }, () => Math.round((random.uniform() - 0.5) * 256) / 16);

const bytesOf = (array: Float32Array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);
const sameBytes = (a: Float32Array, b: Float32Array) => bytesOf(a).equals(bytesOf(b));

function fileWith(dtype: string, change: (values: Float32Array) => void = () => {}): SafetensorsFile {
  const changed = values.slice();
  change(changed);
  const path = join(root, `${dtype}.safetensors`);
  writeFileSync(path, safetensors(new Map([['w', { dtype, shape, bytes: packed(changed, dtype) }]])));
  return SafetensorsFile.open(path);
}

describe.each(WEIGHT_TYPES)('%s', dtype => {
  test('pieces follow each other, and take the memory of one', () => {
    const file = fileWith(dtype);
    const buffers = new Set<ArrayBufferLike>();
    let next = 0;
    for (const { values: piece, stored, first } of file.pieces('w', shape)) {
      expect(first).toBe(next);
      expect(sameBytes(piece, values.subarray(first, first + piece.length))).toBe(true);
      expect(stored).toHaveLength(piece.length);
      buffers.add(piece.buffer).add(stored.buffer);
      next += piece.length;
    }
    file.close();
    expect(next).toBe(values.length);
    expect(buffers.size).toBe(dtype === 'F32' ? 1 : 2);
    for (const buffer of buffers) expect(buffer.byteLength).toBeLessThanOrEqual(2 ** 18);
  });

  test.each([
    [0, '[0, 0]'],
    [300_000, '[427, 673]'],
    [701_700, '[1000, 700]'],
  ])('a value that is not finite is found at %i, whichever piece it is in', (index, place) => {
    const file = fileWith(dtype, changed => {
      changed[index] = Number.NEGATIVE_INFINITY;
    });
    const message = `'w' holds a value that is not finite (NaN or infinity) at ${place};`;
    expect(() => file.read('w', shape)).toThrow(message);
    file.close();
  });
});

test('what is written is read again; a source that gives too little is a fault of the program', async () => {
  const path = join(root, 'written.safetensors');
  await writeSafetensors(new OutputFile(path), [
    floatTensor('a', shape, async () => values),
    floatTensor('b', [2], async () => Float32Array.of(1, 2)),
  ]);
  const file = SafetensorsFile.open(path);
  expect(file.names).toEqual(['a', 'b']);
  expect(sameBytes(file.read('a', shape), values)).toBe(true);
  file.close();
  const short = [floatTensor('b', [2], async () => Float32Array.of(1))];
  const cutOff = new OutputFile(join(root, 'short'));
  await expect(writeSafetensors(cutOff, short)).rejects.toThrow("'b' gave 4 bytes in place of 8");
});
