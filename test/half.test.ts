import { expect, test } from 'vitest';
import { bfloatsOf } from '../src/bfloat.js';
import { floatsOfHalves, halvesOf } from '../src/half.js';

test('every half is its own value, and there and back again', () => {
  const all = Uint16Array.from({ length: 0x10000 }, (_, i) => i).filter(half => (half & 0x7c00) !== 0x7c00);
  expect(halvesOf(floatsOfHalves(all.buffer as ArrayBuffer))).toEqual(all);
});

test('known values', () => {
  const known = [1, -2, 0.5, 65504, 2 ** -14, 2 ** -24, Number.POSITIVE_INFINITY];
  expect([...halvesOf(known)]).toEqual([0x3c00, 0xc000, 0x3800, 0x7bff, 0x0400, 0x0001, 0x7c00]);
  expect(floatsOfHalves(Uint16Array.of(0x7e00).buffer)[0]).toBeNaN();
});

test('rounds to the nearest, ties to even; beyond the largest it is infinite', () => {
  const ulp = 2 ** -10;
  expect([...halvesOf([1 + 0.5 * ulp, 1 + 1.5 * ulp, 1 + 0.51 * ulp, 2 - 0.25 * ulp])]).toEqual([
    0x3c00, 0x3c02, 0x3c01, 0x4000,
  ]);
  expect([...halvesOf([65519, 65520, 2 ** -25, 1.5 * 2 ** -24])]).toEqual([0x7bff, 0x7c00, 0x0000, 0x0002]);
});

test('a tensor may have more values than an array has elements, as embeddings of large vocabularies do', () => {
  const values = new Float32Array(2 ** 27 + 1);
  values[2 ** 27] = 1.5;
  for (const [pack, bits] of [
    [halvesOf, 0x3e00],
    [bfloatsOf, 0x3fc0],
  ] as const) {
    const packed = pack(values);
    expect([packed.length, packed[0], packed[2 ** 27]]).toEqual([values.length, 0, bits]);
  }
});
