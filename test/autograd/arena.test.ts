import { beforeAll, describe, expect, test } from 'vitest';
import { Arena } from '../../src/autograd/arena.js';
import { MemoryCount } from '../../src/gpu/memory.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();

const items = [
  { name: 'a', shape: [3, 5] },
  { name: 'b', shape: [16, 16] },
  { name: 'c', shape: [1] },
  { name: 'd', shape: [200] },
];

describe('an arena', () => {
  let adapter: MemoryCount['adapter'];
  beforeAll(() => {
    adapter = context.device.adapter;
  });
  const memory = (maxBufferSize = adapter.limits.maxBufferSize!) =>
    new MemoryCount({ ...adapter, limits: { ...adapter.limits, maxBufferSize } });

  test('places tensors one after the other, where bindings may begin, and the same in every type', () => {
    const counted = memory();
    const whole = new Arena(counted, 'weight', items);
    expect(items.map(({ name }) => whole.tensor(name).offsetBytes)).toEqual([0, 512, 1536, 2048]);
    expect(counted.bytes).toBe(2048 + 1024);
    const halves = new Arena(counted, 'f16', items, 'f16');
    expect(items.map(({ name }) => halves.tensor(name).offsetBytes)).toEqual([0, 256, 768, 1024]);
    expect(whole.tensor('b').name).toBe('b');
    expect(halves.tensor('b').name).toBe('b (f16)');
    for (const arena of [whole, halves]) arena.destroy();
    expect(counted.bytes).toBe(0);
  });

  test('takes neighbours that are alike as one', () => {
    const arena = new Arena(memory(), 'm', items);
    const runs = arena.stretches((_, next) => next !== 'c');
    expect(runs).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
    const { shape, offsetBytes, buffer } = arena.span(runs[1]!);
    expect({ shape, offsetBytes }).toEqual({ shape: [128 + 200], offsetBytes: 1536 });
    expect(buffer).toBe(arena.buffers[0]);
    expect(arena.span(['b'])).toBe(arena.tensor('b'));
  });

  test('opens another buffer where one would exceed the limit, for no stretch goes across', () => {
    const arena = new Arena(memory(1600), 'weight', items);
    expect(arena.buffers.map(({ sizeBytes }) => sizeBytes)).toEqual([1536, 1536]);
    expect(arena.stretches(() => true)).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
  });

  test('a tensor beyond the limit is refused by its name', () => {
    const { device } = context;
    const small = memory(1000);
    new Arena(small, 'gradient', items);
    expect(small.refusals).toEqual([expect.stringMatching(/^'b \(gradient\)' needs 1024 bytes in one buffer/)]);
    const before = device.memory.bytes;
    const { maxBufferSize } = adapter.limits;
    const refused = [...items, { name: 'e', shape: [maxBufferSize!] }];
    expect(() => new Arena(device, 'weight', refused)).toThrow(/^'e' needs/);
    expect(device.memory.bytes).toBe(before);
  });
});
