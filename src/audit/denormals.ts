/** What an adapter does with numbers below the smallest normal one: measured, and said. */
import type { Device } from '../gpu/device.js';
import type { ElementType, KernelCall, Operand } from '../kernels/call.js';
import { add, cast } from '../kernels/elementwise.js';
import { matmul } from '../kernels/matmul.js';
import { KernelTable } from '../kernels/table.js';
import { FORMATS } from '../numerics/inputs.js';
import { Bench } from './bench.js';
import { hasHalves, type Problem } from './problem.js';

type Calls = (table: KernelTable, bind: (name: string) => Operand) => KernelCall[];

interface Probe {
  readonly name: string;
  readonly inputs: Problem['inputs'];
  readonly output: 'f32' | 'f16';
  /** The subnormal result of exact arithmetic. */
  readonly exact: number;
  readonly calls: Calls;
}

const one = (type: ElementType, value: number) => ({ type, values: Float64Array.of(value) });

function probes(withHalves: boolean): Probe[] {
  const { tiny } = FORMATS.f32;
  const half = FORMATS.f16.tiny / 4;
  const sum: Calls = (table, bind) => add(table, 1, { a: bind('a'), b: bind('b'), y: bind('y') });
  const product: Calls = (table, bind) =>
    matmul(table, { form: 'NN', M: 1, N: 1, K: 1 }, { a: bind('a'), b: bind('b'), c: bind('y') });
  const conversion: Calls = (table, bind) => cast(table, 1, { x: bind('a'), y: bind('y') });
  const single = (a: number, b: number) => ({ a: one('f32', a), b: one('f32', b) });
  return [
    { name: 'f32, a sum', inputs: single(tiny / 4, tiny / 8), output: 'f32', exact: 0.375 * tiny, calls: sum },
    {
      name: 'f32, a product of normal numbers',
      inputs: single(2 * tiny, 0.25),
      output: 'f32',
      exact: tiny / 2,
      calls: product,
    },
    { name: 'f32, an operand', inputs: single(tiny / 4, 8), output: 'f32', exact: 2 * tiny, calls: product },
    ...(withHalves
      ? [
          {
            name: 'f16, read',
            inputs: { a: one('f16', half) },
            output: 'f32',
            exact: half,
            calls: conversion,
          } as const,
          {
            name: 'f16, written',
            inputs: { a: one('f32', half) },
            output: 'f16',
            exact: half,
            calls: conversion,
          } as const,
        ]
      : []),
  ];
}

/** By case: kept, flushed to zero, or something else. */
export async function denormalsOf(device: Device): Promise<Record<string, string>> {
  const { adapter } = device;
  const bench = new Bench(device, { repeats: 1 });
  const found: Record<string, string> = {};
  try {
    for (const { name, inputs, output, exact, calls } of probes(hasHalves(adapter))) {
      const problem: Problem = {
        kernel: 'denormals',
        shape: name,
        inputClass: 'denormal',
        inputs,
        outputs: { y: { type: output, count: 1 } },
        expected: () => ({}),
        variants: [{ name, calls: bind => calls(new KernelTable(adapter), bind) }],
      };
      const value = (await bench.run(problem)).get(name)!.values.y![0]!;
      found[name] = value === exact ? 'kept' : value === 0 ? 'flushed to zero' : `${value} in place of ${exact}`;
    }
  } finally {
    bench.destroy();
  }
  return found;
}
