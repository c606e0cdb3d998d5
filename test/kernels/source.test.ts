import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { f32, linearGrid, packParams } from '../../src/kernels/call.js';
import { reduceConstants } from '../../src/kernels/row-variant.js';
import { specialise } from '../../src/kernels/source.js';

describe('specialising a kernel', () => {
  const holes = {
    A_TYPE: 'f32',
    B_TYPE: 'f32',
    B_WORDS: false,
    B_PAIRS: false,
    B_UNPACK: 'none',
    C_TYPE: 'f32',
    ADDEND_TYPE: 'f32',
    SIDES: 1,
    SWIGLU: false,
    LANES: 2,
    ROWS: 2,
    GROUPS: 1,
    COLUMNS: 3,
    UNROLL: 1,
    TRANSPOSE_A: false,
    TRANSPOSE_B: true,
    ADDEND: false,
    ACCUMULATE: false,
  };

  test('a hole without a value is an error, not the word undefined', () => {
    const { UNROLL: _, ...rest } = holes;
    expect(() => specialise('matmul_subgroup', rest)).toThrow(
      `kernel 'matmul_subgroup' has a hole \${UNROLL} that was given no value`,
    );
  });

  test('#for is written out, #if decided, subgroups enabled where they are used', () => {
    const source = specialise('matmul_subgroup', holes);
    expect(source.startsWith('enable subgroups;')).toBe(true);
    expect(source.match(/var sum_0_\d_0_\d = 0f;/g)).toHaveLength(2 * 3);
    expect(source).not.toMatch(/#|\$\{/);
    expect(source).not.toContain('addend:');
  });

  test('kernels that share a reduction get it pasted', () => {
    const tree = specialise('sum', reduceConstants({ lanes: 0, workgroup: 64, vector: 1 }));
    expect(tree).toContain('fn reduce_sum');
    expect(tree).not.toContain('enable subgroups');
    expect(tree).toContain('array<f32, 64>');
    const both = specialise('sum', reduceConstants({ lanes: 16, workgroup: 64, vector: 1 }));
    expect(both).toContain('subgroupAdd');
    expect(both).toContain('const SUBGROUPS = 64u / 16u;');
    expect(specialise('sum', reduceConstants({ lanes: 64, workgroup: 64, vector: 1 }))).not.toContain(
      'workgroupBarrier',
    );
  });
});

test('every kernel file opens with its contract', async () => {
  const { readFileSync } = await import('node:fs');
  for (const file of readdirSync('kernels').filter(name => name.endsWith('.wgsl'))) {
    const [first] = readFileSync(`kernels/${file}`, 'utf8').split('\n');
    expect(first, file).toMatch(/^\/\/ \w/);
  }
});

describe('parameters and grids', () => {
  test('u32 and f32 fields share four-byte words', () => {
    const words = packParams([7, f32(1.5), 2]);
    expect(words).toHaveLength(4);
    expect([...words.subarray(0, 3)]).toEqual([7, 0x3fc00000, 2]);
    expect(() => packParams([1.5])).toThrow(/not a u32/);
  });

  test('a long grid is folded into two dimensions that cover it', () => {
    expect(linearGrid(0)).toEqual([1, 1, 1]);
    expect(linearGrid(65535)).toEqual([65535, 1, 1]);
    for (const count of [65536, 200_001]) {
      const [x, y] = linearGrid(count);
      expect(x).toBeLessThanOrEqual(65535);
      expect(x * y).toBeGreaterThanOrEqual(count);
    }
  });
});
