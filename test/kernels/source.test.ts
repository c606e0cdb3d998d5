import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { bindCall, callOf, linearGrid, packParams } from '../../src/kernels/call.js';
import { reduceConstants } from '../../src/kernels/row-variant.js';
import { specialise } from '../../src/kernels/source.js';
import { sum } from '../../src/kernels/sum.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
const kernelFiles = readdirSync('kernels').filter(name => name.endsWith('.wgsl'));
const SUBGROUP = { lanes: 64, workgroup: 64, vector: 1 };

describe('specialising a kernel', () => {
  test('a name without a value is an error that names the line', () => {
    const { WORKGROUP: _, SUBGROUPS: __, ...rest } = reduceConstants(SUBGROUP);
    const [number] = readFileSync('kernels/lib/reduce.wgsl', 'utf8')
      .split('\n')
      .flatMap((line, i) => (/\{SUBGROUPS\}/.test(line) ? [i + 1] : []));
    expect(() => specialise('sum', rest)).toThrow(`kernels/lib/reduce.wgsl:${number} needs a value of 'SUBGROUPS'`);
  });

  test('numbers and types stand ahead of the source, extensions where they are used', () => {
    const source = specialise('sum_rows', { COLUMNS: 32, SLICES: 2, TYPE: 'f16', ACCUMULATE: false });
    expect(source).toMatch(/^enable f16;\nconst COLUMNS = 32u;\nconst SLICES = 2u;\nalias TYPE = f16;\n/);
    expect(source).not.toMatch(/ACCUMULATE|#|\$\{/);
  });

  test('#for is written out, the last counter the fastest', () => {
    const constants = { WORKGROUP: 64, CHAINS: 3, UNROLL: 2 };
    const steps = [...specialise('ceiling_fma', constants).matchAll(/x_(\d) = fma\(x_\1, factor, addend\);/g)];
    expect(steps.map(([, chain]) => chain)).toEqual(['0', '1', '2', '0', '1', '2']);
  });

  test('a reduction that several kernels share goes by the variant', () => {
    const tree = specialise('sum', reduceConstants({ lanes: 0, workgroup: 64, vector: 1 }));
    expect(tree).not.toContain('enable subgroups');
    const both = specialise('sum', reduceConstants({ lanes: 16, workgroup: 64, vector: 1 }));
    expect(both).toContain('subgroupAdd');
    expect(both).toContain('workgroupBarrier');
    expect(specialise('sum', reduceConstants(SUBGROUP))).not.toContain('workgroupBarrier');
  });

  test('what the compiler finds wrong is told with the line of the .wgsl file', async () => {
    const wrong = specialise('sum_rows', { COLUMNS: 32, SLICES: 2, TYPE: 'wrong', ACCUMULATE: false });
    const line = readFileSync('kernels/sum_rows.wgsl', 'utf8')
      .split('\n')
      .findIndex(text => text.includes('var<storage, read> values'));
    const { device } = context;
    const operand = { buffer: device.createBuffer('any', 16), offsetBytes: 0, sizeBytes: 16 };
    const call = {
      label: 'sum_rows',
      source: wrong,
      buffers: { values: operand, sums: operand },
      params: { rows: 1, columns: 1, part_rows: 1, first: 0 },
      workgroups: [1, 1, 1] as const,
    };
    await expect(bindCall(device, call, operand)).rejects.toThrow(
      `constants of kernels/sum_rows.wgsl: unresolved type`,
    );
    const elsewhere = { ...call, source: specialise('sum_rows', { COLUMNS: 32, SLICES: 2, ACCUMULATE: false }) };
    await expect(bindCall(device, elsewhere, operand)).rejects.toThrow(`kernels/sum_rows.wgsl:${line + 1}: unresolved`);
    operand.buffer.destroy();
  });
});

describe('the files of kernels', () => {
  test.each(kernelFiles)('%s opens with its contract', file => {
    expect(readFileSync(`kernels/${file}`, 'utf8').split('\n')[0]).toMatch(/^\/\/ \w/);
  });

  const launchers = readdirSync('src/kernels');
  const textOf = (launcher: string) => readFileSync(`src/kernels/${launcher}`, 'utf8');
  test.each(kernelFiles)('%s is launched by the files of its family', file => {
    const kernel = file.replace('.wgsl', '').replaceAll('_', '-');
    const families = launchers.filter(launcher => `${kernel}-`.startsWith(`${launcher.replace('.ts', '')}-`));
    const [family] = families.sort((a, b) => b.length - a.length);
    expect(family, 'a file in src/kernels named like it').toBeDefined();
    // forms in tiles and on matrices have the name of the kernel with an ending
    const name = file.replace('.wgsl', '').replace(/(?<=attention_.*)_(matrix|tiled)$/, '');
    const files = launchers.filter(launcher =>
      `${launcher.replace('.ts', '')}-`.startsWith(family!.replace('.ts', '-')),
    );
    expect(files.map(textOf).join('\n')).toContain(`'${name}'`);
    for (const other of launchers.filter(launcher => launcher !== family && !launcher.startsWith('row'))) {
      expect(textOf(other).includes(`kernelCall('${name}'`), `${other} launches it too`).toBe(false);
    }
  });
});

describe('a call', () => {
  const source = `struct Params { count: u32, scale: f32 }
    @group(0) @binding(0) var<storage, read> x: array<vec4<f16>>;
    @group(0) @binding(3) var<storage, read_write> y: array<f32>;
    @group(0) @binding(7) var<storage, read_write> bits: array<u32>;
    @group(0) @binding(1) var<uniform> params: Params;`;
  const operands = () => {
    const make = (label: string, type: 'f16' | 'f32') => {
      return { buffer: context.device.createBuffer(label, 512), offsetBytes: 0, sizeBytes: 16, type };
    };
    return { x: make('x', 'f16'), y: make('y', 'f32'), bits: make('bits', 'f32') };
  };
  const args = (given: object, params: Record<string, number> = { count: 7, scale: 1.5 }) => {
    return { label: 'scale', operands: { ...operands(), ...given }, params, workgroups: [1, 1, 1] as const };
  };

  test('binds what the source declares', () => {
    expect(callOf(source, args({})).buffers).toHaveProperty('x');
  });

  test.each([
    ['an operand that is missing', { y: undefined }, "was given no operand 'y'"],
    ['an operand that it has not', { z: { type: 'f32' } }, "has no operand 'z'; it has x, y, bits"],
    ['another type', { y: { type: 'f16' } }, "takes 'y' as f32, not as f16"],
  ])('refuses %s', (_, given, message) => {
    const { y } = operands();
    const filled = Object.fromEntries(
      Object.entries(given).map(([name, other]) => [name, other && { ...y, ...other }]),
    );
    expect(() => callOf(source, args(filled))).toThrow(`kernel 'scale' ${message}`);
  });

  test('refuses a buffer that is read where it is written, or written twice', () => {
    const { x, y } = operands();
    expect(() => callOf(source, args({ x, y: { ...x, type: 'f32', offsetBytes: 256 } }))).toThrow(
      "kernel 'scale' writes 'y' where it has 'x', in 'x'",
    );
    expect(() => callOf(source, args({ y, bits: { ...y, offsetBytes: 8 } }))).toThrow("writes 'y' where it has 'bits'");
    expect(callOf(source, args({ y, bits: { ...y, offsetBytes: 256 } })).buffers.y).toEqual(y);
  });

  test('refuses parameters that are missing, unknown, or no u32', () => {
    expect(() => callOf(source, args({}, { count: 7 }))).toThrow("was given no parameter 'scale'");
    expect(() => callOf(source, args({}, { count: 7, scale: 1, eps: 1 }))).toThrow("has no parameter 'eps'");
    const { params, ...rest } = callOf(source, args({}));
    expect(() => packParams({ ...rest, params: { ...params, count: 1.5 } })).toThrow(
      "parameter 'count' of kernel 'scale' is 1.5, not a u32",
    );
  });

  test('packs u32 and f32 into words, whatever the order they were named in', () => {
    const words = packParams(callOf(source, args({}, { scale: 1.5, count: 7 })));
    expect([...words]).toEqual([7, 0x3fc00000, 0, 0]);
  });

  test('of a launcher names the file it is of', () => {
    const { y } = operands();
    const [call] = sum(new VariantTable(context.device.adapter), 4, 1, { values: { ...y }, total: operands().y });
    expect(call!.label).toBe('sum');
  });
});

describe('grids', () => {
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
