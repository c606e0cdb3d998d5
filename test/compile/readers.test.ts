/** What the drivers print, from excerpts of it: statistics, the hot loop, and what its instructions do. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { classify as classifyAmd } from '../../src/compile/amd.js';
import { type DriverName, driverOf } from '../../src/compile/gpus.js';
import { countHotLoop } from '../../src/compile/hot-loop.js';
import { type Block, blocksOfLoops, type Instruction } from '../../src/compile/instructions.js';
import { classify as classifyNvidia } from '../../src/compile/nvidia.js';
import { readStatistics } from '../../src/compile/readers.js';

const read = (driver: DriverName, file: string) =>
  readStatistics(driver, readFileSync(join(import.meta.dirname, 'logs', `${file}.txt`), 'utf8'));

test('RADV: its table, and the loop of a sum of squares in the disassembly', () => {
  expect(read('radv', 'amd')).toEqual({
    registers: 12,
    spills: 0,
    scratchBytes: 0,
    workgroupBytes: 1024,
    occupancy: 32,
    instructions: 206,
    cycles: 123,
    lanes: 64,
    hotLoop: {
      instructions: 12,
      issued: 6,
      fmas: 1,
      usefulInstructions: 1,
      matrixFmas: 0,
      workgroupBytes: 0,
      globalBytes: 4,
      scratch: 0,
    },
    whole: {
      once: {
        instructions: 189,
        issued: 67,
        fmas: 0,
        usefulInstructions: 0,
        matrixFmas: 0,
        workgroupBytes: 184,
        globalBytes: 4,
        scratch: 0,
      },
      perRound: {
        instructions: 19,
        issued: 7,
        fmas: 1,
        usefulInstructions: 1,
        matrixFmas: 0,
        workgroupBytes: 0,
        globalBytes: 4,
        scratch: 0,
      },
    },
  });
});

test('NAK: the same sum in SASS; what follows the last block is not part of it', () => {
  expect(read('nvk', 'nvidia')).toEqual({
    registers: 24,
    spills: 0,
    scratchBytes: 0,
    workgroupBytes: 1024,
    occupancy: 48,
    instructions: 287,
    cycles: 2947,
    lanes: 32,
    hotLoop: {
      instructions: 10,
      issued: 10,
      fmas: 1,
      usefulInstructions: 1,
      matrixFmas: 0,
      workgroupBytes: 0,
      globalBytes: 4,
      scratch: 0,
    },
    whole: {
      once: {
        instructions: 246,
        issued: 246,
        fmas: 0,
        usefulInstructions: 0,
        matrixFmas: 0,
        workgroupBytes: 184,
        globalBytes: 4,
        scratch: 0,
      },
      perRound: {
        instructions: 23,
        issued: 23,
        fmas: 1,
        usefulInstructions: 1,
        matrixFmas: 0,
        workgroupBytes: 0,
        globalBytes: 4,
        scratch: 0,
      },
    },
  });
});

test('AGX and IR3: figures of kernels that spill', () => {
  expect(read('honeykrisp', 'apple')).toEqual({
    registers: 255,
    spills: 57,
    scratchBytes: 204,
    occupancy: 384,
    instructions: 2265,
    cycles: 1153,
    lanes: 32,
  });
  expect(read('turnip', 'adreno')).toEqual({ registers: 48, spills: 3, occupancy: 4, instructions: 2625 });
});

test('what holds no statistics has none', () => {
  for (const driver of ['radv', 'nvk', 'honeykrisp', 'turnip'] as const) {
    expect(readStatistics(driver, 'Warning: something else\n')).toBeUndefined();
  }
});

test('a driver is found in what WebGPU says of an adapter', () => {
  expect(driverOf('radv: Mesa 26.1.6-1')).toBe('radv');
  expect(driverOf('NVK: Mesa 26.1.6-1 26.0.64.6')).toBe('nvk');
  expect(driverOf('llvmpipe: Mesa 26.1.6-1 (LLVM 21.1.8)')).toBeUndefined();
});

const other: Instruction = { kind: 'other' };
const free: Instruction = { kind: 'free' };

test('instructions of AMD', () => {
  const all: Record<string, Instruction> = {
    'v_fmac_f32_e32 v2, v3, v3': { kind: 'fma', count: 1 },
    'v_dual_fmac_f32 v1, v2, v3 :: v_dual_fmac_f32 v4, v5, v6': { kind: 'fma', count: 2 },
    'v_dual_fmac_f32 v1, v2, v3 :: v_dual_mov_b32 v4, v5': { kind: 'fma', count: 1 },
    'v_pk_fma_f16 v1, v2, v3, v1': { kind: 'fma', count: 2 },
    'v_fma_mix_f32 v1, v2, v3, v1 op_sel_hi:[1,1,0]': { kind: 'fma', count: 1 },
    'v_wmma_f32_16x16x16_f16 v[0:7], v[8:15], v[16:23], v[0:7]': { kind: 'matrix', fmas: 4096 },
    'v_add_nc_u32_e32 v21, 1, v24': other,
    'ds_load_b128 v[0:3], v4': { kind: 'workgroup', bytes: 16 },
    'ds_read2_b64 v[0:3], v4 offset1:1': { kind: 'workgroup', bytes: 16 },
    'ds_load_2addr_b32 v[0:1], v4 offset1:1': { kind: 'workgroup', bytes: 8 },
    'ds_load_addtid_b32 v1 offset:256': { kind: 'scratch' },
    'scratch_load_b32 v187, off, s26': { kind: 'scratch' },
    'buffer_load_b128 v[28:31], v21, s[24:27], 0 offen': { kind: 'global', bytes: 16 },
    'buffer_store_dwordx2 v[0:1], v2, s[4:7], 0 offen': { kind: 'global', bytes: 8 },
    'buffer_load_ushort v0, v1, s[4:7], 0 offen': { kind: 'global', bytes: 2 },
    's_waitcnt lgkmcnt(0)': free,
  };
  for (const [text, what] of Object.entries(all)) expect(classifyAmd(text), text).toEqual(what);
});

test('instructions of NVIDIA', () => {
  const all: Record<string, Instruction> = {
    'ffma.ftz r0 r20 r16': { kind: 'fma', count: 1 },
    'hfma2 r0 r20 r16': { kind: 'fma', count: 2 },
    'hmma.m16n8k16.f32 r0..4 r4..8 r8..10': { kind: 'matrix', fmas: 2048 },
    'ld.shared.strong.cta.b128 [r44.x16+0x1000], pT': { kind: 'workgroup', bytes: 16 },
    'ldsm.16.m8n8.x4 [r1]': { kind: 'workgroup', bytes: 16 },
    '@!p2 st.shared.strong.cta.b32 [r1] r2': { kind: 'workgroup', bytes: 4 },
    'ld.global.a64.constant.u16 [r2..4]': { kind: 'global', bytes: 2 },
    'st.local.strong.cta.b32 [rZ+0x4] r122': { kind: 'scratch' },
    'bar.sync': other,
  };
  for (const [text, what] of Object.entries(all)) expect(classifyNvidia(text), text).toEqual(what);
});

test('the hot loop is the longest block of a loop: not one that stands among its blocks, nor a longer one outside', () => {
  const block = (length: number, ...predecessors: number[]): Block => ({
    instructions: Array.from({ length }, () => 'ffma.ftz r0 r1 r2'),
    predecessors,
  });
  // 0, then the loop 1, 3, 4; 2 leaves it
  const blocks = [block(50), block(2, 0, 4), block(40, 1), block(7, 1), block(3, 3)];
  expect(countHotLoop(blocks, classifyNvidia)).toMatchObject({ instructions: 7, fmas: 7 });
  expect(countHotLoop([block(40)], classifyNvidia)).toMatchObject({ instructions: 40 });
});

test('a loop whose body stands ahead of its head, as AMD lays them out, has no block that leads to it', () => {
  const block = (...predecessors: number[]): Block => ({ instructions: [], predecessors });
  // 0, 2 the head, which leads to the body 1 or out to 3
  expect([...blocksOfLoops([block(), block(2), block(0, 1), block(2)])]).toEqual([1, 2]);
});

test('of loops on matrices, all blocks that have matrix instructions', () => {
  const block = (predecessors: number[], ...instructions: string[]): Block => ({ instructions, predecessors });
  const fma = 'ffma.ftz r0 r1 r2';
  const matrix = 'hmma.m16n8k16.f32 r0..4 r4..8 r8..10';
  // 0, then the loop 1, 2, 3; 4 leaves it
  const blocks = [
    block([], matrix, matrix),
    block([0, 3], matrix, fma),
    block([1], fma, fma, fma, fma),
    block([2], matrix, matrix, 'bar.sync'),
    block([3], fma),
  ];
  expect(countHotLoop(blocks, classifyNvidia)).toMatchObject({ instructions: 5, usefulInstructions: 3, fmas: 1 });
});
