/** What a driver refuses is told with the kernel, the buffers and the sizes, wherever it is refused. */
import { expect, test } from 'vitest';
import { messageOf, UserError } from '../../src/errors.js';
import type { Device } from '../../src/gpu/device.js';
import { openDevice } from '../../src/gpu/open-device.js';
import { callOf } from '../../src/kernels/call.js';

const filler = (lanes: number) => `
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(${lanes})
fn main(@builtin(global_invocation_id) id: vec3u) {
  x[id.x] = 1;
}`;

/** Plants a fault on a device of its own, since a device keeps its first error. @returns the message. */
async function messageOfFault(plant: (device: Device) => unknown): Promise<string> {
  using device = await openDevice();
  try {
    await plant(device);
    await device.settle();
  } catch (error) {
    return messageOf(error);
  }
  return 'nothing was refused';
}

test('a pipeline that the device cannot make', async () => {
  expect(await messageOfFault(device => device.compile('filler', filler(100_000)))).toMatch(
    /^kernel 'filler' does not compile: .*workgroup_size\(100000, 1, 1\) that exceeds the maximum allowed \(\d+, /s,
  );
});

test.each([
  ['that ends beyond its buffer', 512, 1024, /offset: 512, size: 1024\) doesn't fit in the size \(1024\)/],
  ['at an offset that is not aligned', 4, 16, /Offset \(4\) .* alignment \(\d+\)/],
])('a binding %s', async (_, offsetBytes, sizeBytes, sizes) => {
  const message = await messageOfFault(async device => {
    const pipeline = await device.compile('filler', filler(64));
    device.bind(pipeline, [[0, { buffer: device.createBuffer('values', 1024), offsetBytes, sizeBytes }]]);
  });
  expect(message).toMatch(/^WebGPU error on '/);
  expect(message).toMatch(sizes);
  expect(message).toContain('[Buffer "values"]');
  expect(message).toContain('filler');
});

test('a copy beyond a buffer', async () => {
  const message = await messageOfFault(device => {
    const range = (label: string, bytes: number) => ({
      buffer: device.createBuffer(label, bytes),
      offsetBytes: 0,
      sizeBytes: 1024,
    });
    device.submit([{ kind: 'copy', from: range('large', 1024), to: range('small', 16) }]);
  });
  expect(message).toMatch(/\(offset: 0, size: 1024\) does not fit in \[Buffer "small"\] size \(16\)/);
});

test('a dispatch of more workgroups than adapters allow', async () => {
  using device = await openDevice();
  const x = { buffer: device.createBuffer('values', 1024), offsetBytes: 0, sizeBytes: 1024, type: 'f32' } as const;
  const call = () => callOf(filler(64), { label: 'filler', operands: { x }, params: {}, workgroups: [1, 70_000, 1] });
  expect(call).toThrow(UserError);
  expect(call).toThrow(/^'filler' needs 70000 workgroups in one dimension, and adapters allow 65535/);
});

test('a buffer larger than the adapter allows', async () => {
  const message = await messageOfFault(device =>
    device.createBuffer('weights', device.adapter.limits.maxBufferSize! + 4),
  );
  expect(message).toMatch(/^'weights' needs \d+ bytes in one buffer; the adapter '.*' allows \d+ \(maxBufferSize\)/);
});
