/** The roofline of counts that can be followed by hand. */
import { expect, test } from 'vitest';
import { machineOf } from '../../src/compile/gpus.js';
import { othersPerMatrix } from '../../src/compile/hot-loop.js';
import type { InstructionCounts } from '../../src/compile/instructions.js';
import type { Work } from '../../src/compile/kernels.js';
import { rooflineOf } from '../../src/compile/roofline.js';
import { TABLE_HEAD, tableRows } from '../../src/compile/table.js';

const none = {
  instructions: 0,
  issued: 0,
  fmas: 0,
  usefulInstructions: 0,
  matrixFmas: 0,
  workgroupBytes: 0,
  globalBytes: 0,
  scratch: 0,
};
const loop = (counts: Partial<InstructionCounts>): InstructionCounts => ({ ...none, ...counts });
const AMPERE = machineOf('ga102')!;
const GRID = { workgroups: 820, threads: 820 * 128 };
const of = (counts: Partial<InstructionCounts>, flopsPerByte = 1000) =>
  rooflineOf(AMPERE, { lanes: 32, hotLoop: loop(counts) }, { ...GRID, flops: 1e9 * flopsPerByte, bytes: 1e9 });

test('4 x 4 sums a thread: 32 bytes of workgroup memory to 16 multiply-adds are half of the peak', () => {
  // 16 · 32 lanes / 128 = 4 cycles of multiply-adds, 32 · 32 bytes / 128 = 8 cycles of workgroup memory
  expect(of({ issued: 18, fmas: 16, workgroupBytes: 32 })).toEqual({
    share: 0.5,
    of: 'multiply-adds',
    boundBy: 'workgroup memory',
  });
});

test('other instructions', () => {
  expect(of({ issued: 20, fmas: 16, workgroupBytes: 8 })).toMatchObject({ share: 0.8, boundBy: 'instructions' });
});

test('matrices', () => {
  // 2048 / 256 = 8 cycles of matrices, 64 · 32 / 128 = 16 of workgroup memory
  expect(of({ issued: 4, matrixFmas: 2048, workgroupBytes: 64 })).toEqual({
    share: 0.5,
    of: 'matrices',
    boundBy: 'workgroup memory',
  });
});

test('memory, of a call with few FLOPs to a byte', () => {
  const { share, boundBy } = of({ issued: 16, fmas: 16 }, 4)!;
  expect(boundBy).toBe('memory');
  // 4 FLOPs a byte of 936 GB/s, of 82 · 128 lanes · 2 · 1.695 GHz
  expect(share).toBeCloseTo((4 * 936) / (82 * 128 * 2 * 1.695), 10);
});

test('none without a hot loop', () => {
  expect(rooflineOf(AMPERE, { lanes: 32 }, { ...GRID, flops: 4e9, bytes: 1e9 })).toBeUndefined();
});

/** A copy of 9.36 MB by its bandwidth of 936 GB/s takes 10 us, in which each of 82 units has 16,950 cycles. */
const copying = (once: Partial<InstructionCounts>, perRound?: Partial<InstructionCounts>, work: Partial<Work> = {}) =>
  rooflineOf(
    AMPERE,
    { whole: { once: loop(once), ...(perRound && { perRound: loop(perRound) }) } },
    { ...GRID, bytes: 9.36e6, ...work },
  );

test('a kernel that moves what it is given: its instructions against a copy', () => {
  // 10 workgroups of 128 threads a unit: 10 cycles to an instruction
  expect(copying({ issued: 1695 })).toEqual({ share: 1, of: 'copy', boundBy: 'memory' });
  const slow = copying({ issued: 3390 })!;
  expect(slow).toMatchObject({ of: 'copy', boundBy: 'instructions' });
  expect(slow.share).toBeCloseTo(0.5, 10);
  const kernel = { label: 'sum', variant: '', seconds: 1, work: GRID, roofline: slow };
  expect(tableRows(kernel).at(-1)).toBe('50% of a copy, instructions');
});

test('rounds of loops, workgroup memory, and units without a workgroup', () => {
  expect(copying({ issued: 390 }, { issued: 100 }, { rounds: 30 })!.share).toBeCloseTo(0.5, 10);
  const shared = copying({ issued: 1, workgroupBytes: 6780 })!;
  expect(shared.boundBy).toBe('workgroup memory');
  expect(shared.share).toBeCloseTo(0.25, 10);
  // one unit alone does the work of 82
  expect(copying({ issued: 1695 }, undefined, { workgroups: 1 })!.share).toBeCloseTo(1 / 82, 10);
});

test('of what looks rows up, the bytes that its instructions move', () => {
  const { share } = copying(
    { issued: 100, globalBytes: 4 },
    { issued: 200, globalBytes: 8 },
    { bytes: undefined, rounds: 2 },
  )!;
  // 20 bytes and 500 instructions a thread
  expect(share).toBeCloseTo(20 / 936 / (500 / (82 * 128 * 1.695)), 10);
});

test('no figure of loops that nobody counted, nor of a call that a copy would be done with in a microsecond', () => {
  expect(copying({ issued: 1 }, { issued: 1 })).toBeUndefined();
  expect(copying({ issued: 5000 }, undefined, { bytes: 9.3e5 })).toBeUndefined();
});

test('the other instructions to one on matrices, of loops on matrices alone', () => {
  expect(othersPerMatrix(loop({ instructions: 133, usefulInstructions: 32, matrixFmas: 131_072 }))).toBe(101 / 32);
  expect(othersPerMatrix(loop({ instructions: 133, usefulInstructions: 32, fmas: 32 }))).toBeUndefined();
  const kernel = { label: 'matmul_matrix', variant: '', seconds: 1, work: GRID, othersPerMatrix: 101 / 32 };
  const row = tableRows(kernel);
  expect(row).toHaveLength(TABLE_HEAD.length);
  expect(row[TABLE_HEAD.indexOf('others a matrix')]).toBe('3.2');
});
