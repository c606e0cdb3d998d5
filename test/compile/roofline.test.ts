/** The roofline of counts that can be followed by hand. */
import { expect, test } from 'vitest';
import { machineOf } from '../../src/compile/gpus.js';
import { type LoopCounts, othersPerMatrix } from '../../src/compile/hot-loop.js';
import { rooflineOf } from '../../src/compile/roofline.js';
import { TABLE_HEAD, tableRows } from '../../src/compile/table.js';

const none = {
  issued: 0,
  fmas: 0,
  usefulInstructions: 0,
  matrixFmas: 0,
  workgroupBytes: 0,
  globalBytes: 0,
  scratch: 0,
};
const loop = (counts: Partial<LoopCounts>): LoopCounts => ({ instructions: 0, ...none, ...counts });
const AMPERE = machineOf('ga102')!;
const of = (counts: Partial<LoopCounts>, flopsPerByte = 1000) =>
  rooflineOf(AMPERE, { lanes: 32, hotLoop: loop(counts) }, { flopsPerByte });

test('4 x 4 sums a thread: 32 bytes of workgroup memory to 16 multiply-adds are half of the peak', () => {
  // 16 · 32 lanes / 128 = 4 cycles of multiply-adds, 32 · 32 bytes / 128 = 8 cycles of workgroup memory
  expect(of({ issued: 18, fmas: 16, workgroupBytes: 32 })).toEqual({
    share: 0.5,
    boundBy: 'workgroup memory',
    ofMatrices: false,
  });
});

test('other instructions', () => {
  expect(of({ issued: 20, fmas: 16, workgroupBytes: 8 })).toMatchObject({ share: 0.8, boundBy: 'instructions' });
});

test('matrices', () => {
  // 2048 / 256 = 8 cycles of matrices, 64 · 32 / 128 = 16 of workgroup memory
  expect(of({ issued: 4, matrixFmas: 2048, workgroupBytes: 64 })).toEqual({
    share: 0.5,
    boundBy: 'workgroup memory',
    ofMatrices: true,
  });
});

test('memory, of a call with few FLOPs to a byte', () => {
  const { share, boundBy } = of({ issued: 16, fmas: 16 }, 4)!;
  expect(boundBy).toBe('memory');
  // 4 FLOPs a byte of 936 GB/s, of 82 · 128 lanes · 2 · 1.695 GHz
  expect(share).toBeCloseTo((4 * 936) / (82 * 128 * 2 * 1.695), 10);
});

test('none without FLOPs to count, nor without a hot loop', () => {
  expect(rooflineOf(AMPERE, { lanes: 32, hotLoop: loop({ fmas: 1 }) }, {})).toBeUndefined();
  expect(rooflineOf(AMPERE, { lanes: 32 }, { flopsPerByte: 4 })).toBeUndefined();
});

test('the other instructions to one on matrices, of loops on matrices alone', () => {
  expect(othersPerMatrix(loop({ instructions: 133, usefulInstructions: 32, matrixFmas: 131_072 }))).toBe(101 / 32);
  expect(othersPerMatrix(loop({ instructions: 133, usefulInstructions: 32, fmas: 32 }))).toBeUndefined();
  const kernel = { label: 'matmul_matrix', variant: '', seconds: 1, othersPerMatrix: 101 / 32 };
  const row = tableRows(kernel);
  expect(row).toHaveLength(TABLE_HEAD.length);
  expect(row[TABLE_HEAD.indexOf('others a matrix')]).toBe('3.2');
});
