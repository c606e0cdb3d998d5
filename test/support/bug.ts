/** Kernels broken on purpose, under the engine as a whole: what a test of a training step is to catch. */
import { expect, vi } from 'vitest';
import type { Device } from '../../src/gpu/device.js';

/** Texts of one kernel and what they read instead. */
export interface Bug {
  readonly kernel: string;
  readonly edits: readonly (readonly [from: string, to: string])[];
}

/** Runs `body` with the bug in what is compiled meanwhile; fails where a text is not there to be replaced. */
export async function withBug<T>(device: Device, { kernel, edits }: Bug, body: () => Promise<T>): Promise<T> {
  const compile = device.compile.bind(device);
  const planted = new Set<string>();
  const spy = vi.spyOn(device, 'compile').mockImplementation((label, source) => {
    if (label !== kernel) return compile(label, source);
    const broken = edits.reduce((text, [from, to]) => {
      if (text.includes(from)) planted.add(from);
      return text.replaceAll(from, to);
    }, source);
    return compile(label, broken);
  });
  try {
    return await body();
  } finally {
    spy.mockRestore();
    expect([...planted].sort(), `what is to be replaced in '${kernel}'`).toEqual(edits.map(([from]) => from).sort());
  }
}
