import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { plan } from '../../src/autograd/plan.js';
import { UserError } from '../../src/errors.js';
import { packageRoot } from '../../src/files.js';
import { listAdapters } from '../../src/gpu/adapters.js';
import { chooseAdapter } from '../../src/gpu/choose-adapter.js';
import { openDevice } from '../../src/gpu/open-device.js';
import { input, sum, useDevice } from '../support/gpu.js';

const context = useDevice();

describe('adapters', () => {
  test('hardware comes before system software, and that before the bundled driver', async () => {
    const kinds = (await listAdapters()).map(({ description }) => description.kind);
    const order = ['hardware', 'system software', 'bundled software'];
    expect(kinds).toEqual([...kinds].sort((a, b) => order.indexOf(a) - order.indexOf(b)));
    expect(kinds).toContain('bundled software');
  });

  test('one is found by a part of its name, whatever the case', async () => {
    const { choice } = await chooseAdapter('SWIFTshader');
    expect(choice.chosen.architecture).toBe('swiftshader');
    expect(choice.reason).toBe("asked for by 'SWIFTshader'");
  });

  test('one that does not exist is refused with the names of those that do', async () => {
    await expect(chooseAdapter('GeForce 9999')).rejects.toThrow(UserError);
    await expect(chooseAdapter('GeForce 9999')).rejects.toThrow(
      /no adapter matches 'GeForce 9999'; this machine has #1 '(SwiftShader|llvmpipe)/,
    );
  });
});

describe('the device', () => {
  test('more dispatches than a query set has room for are timed in parts, in order', async () => {
    const { device } = context;
    const graph = new Graph();
    const x = input(device, 'x', [4], [1, 2, 3, 4]);
    const y = sum(graph, x, x);
    const planned = await plan(device, graph, { keep: [y] });
    const clear = { kind: 'clear', buffer: planned.rangeOf(y).buffer } as const;
    const commands = Array.from({ length: 2500 }, () => [clear, ...planned.commands]).flat();
    const { dispatches, host } = await device.trace(commands);
    expect(dispatches).toHaveLength(2500);
    for (const { label, milliseconds } of dispatches) {
      expect(label).toBe('add');
      expect(milliseconds).toBeGreaterThanOrEqual(0);
    }
    for (const [i, { start }] of dispatches.slice(1).entries()) {
      expect(start).toBeGreaterThanOrEqual(dispatches[i]!.start + dispatches[i]!.milliseconds);
    }
    expect(host.map(({ activity }) => activity)).toEqual(['encode', 'submit', 'encode', 'submit', 'wait']);
    expect(new Float32Array(await device.read(clear.buffer, 0, 16))).toEqual(Float32Array.of(2, 4, 6, 8));
    planned.destroy();
  });

  test('a kernel that does not compile is shown with the message and numbered lines', async () => {
    const attempt = context.device.compile('broken', 'fn main() {\n  let x: f32 = 1u;\n}');
    await expect(attempt).rejects.toThrow(/kernel 'broken' does not compile/);
    await expect(attempt).rejects.toThrow(/line 2: .*f32/);
    await expect(attempt).rejects.toThrow(/^ {4}let x: f32 = 1u;\n {8}\^$/m);
  });

  test('a write beyond a buffer is refused', () => {
    const buffer = context.device.createBuffer('small', 16);
    expect(() => context.device.write(buffer, new Float32Array(5))).toThrow(/20 bytes at 0 exceed 'small' of 16/);
    buffer.destroy();
  });

  test('closing one leaves nothing behind that crashes when memory is collected', async () => {
    const module = join(packageRoot, 'dist', 'src', 'gpu', 'open-device.js');
    const script = `
      const { openDevice } = await import(${JSON.stringify(module)});
      (await openDevice()).close();
      for (let i = 0; i < 6; i++) { gc(); await new Promise(done => setTimeout(done, 150)); }
      console.log('still here');`;
    const run = promisify(execFile)(process.execPath, ['--expose-gc', '--input-type=module', '-e', script]);
    expect((await run).stdout).toContain('still here');
  });

  test('a large buffer is read in pieces, through no more memory than one takes', async () => {
    const device = await openDevice();
    const MIB = 2 ** 20;
    const values = Uint32Array.from({ length: 16 * MIB + 3 }, (_, i) => i);
    const buffer = device.createBuffer('large', values.byteLength);
    device.write(buffer, values);
    const range = { buffer, offsetBytes: 4, sizeBytes: values.byteLength - 4 };
    const before = device.memory.bytes;
    expect(Buffer.compare(new Uint8Array(await device.readInPieces(range)), Buffer.from(values.buffer, 4))).toBe(0);
    expect(device.memory.bytes - before).toBe(64 * MIB);
    const small = { buffer, offsetBytes: 400, sizeBytes: 100 };
    expect(new Uint32Array(await device.readInPieces(small, 12))).toEqual(values.slice(100, 125));
    const read = device.readInPieces(small, 12);
    await Promise.all([device.read(buffer, 0, 16), read]); // another read changes nothing
    const torn = device.readInPieces(small, 12);
    device.write(buffer, values, 0);
    await expect(torn).rejects.toThrow(/'large' may have changed while it was read: await the read/);
    device.close();
  });

  test('memory is accounted for', () => {
    const { device } = context;
    const { bytes } = device.memory;
    const buffer = device.createBuffer('counted', 4096);
    expect(device.memory.bytes).toBe(bytes + 4096);
    expect(device.memory.peakBytes).toBeGreaterThanOrEqual(bytes + 4096);
    buffer.destroy();
    buffer.destroy();
    expect(device.memory.bytes).toBe(bytes);
  });
});
