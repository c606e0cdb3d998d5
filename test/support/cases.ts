/** Runs cases on the device under test, and holds what ops make of a case's values to its bounds. */
import { errorsOf } from '../../src/audit/error-units.js';
import type { Tensor } from '../../src/autograd/tensor.js';
import { Bench, type BenchOptions } from '../../src/cases/bench.js';
import { type Case, type Given, givenOf, type Problem } from '../../src/cases/case.js';
import type { Device } from '../../src/gpu/device.js';
import { MemoryCount } from '../../src/gpu/memory.js';
import type { KernelCall, Operand } from '../../src/kernels/call.js';
import type { VariantTable } from '../../src/kernels/variants.js';
import { expectWithin, input, parameter } from './gpu.js';

/**
 * By the name of a variant: what is wrong with it, of those that are wrong. A checked device zeroes workgroup memory,
 * so that it need not be filled.
 */
export async function faultsOf(
  device: Device,
  problem: Problem,
  options: Omit<BenchOptions, 'repeats'> = { fillWorkgroups: false },
): Promise<Map<string, string>> {
  const bench = new Bench(device, { repeats: 1, ...options });
  try {
    const expected = Object.entries(problem.expected(givenOf(problem)));
    const faults = new Map<string, string>();
    for (const [variant, { values, strayWrites, unwritten }] of await bench.run(problem)) {
      const found = expected.flatMap(([name, { reference, bound }]) => {
        const { type, isWritten } = problem.outputs[name]!;
        const { shares, worst } = errorsOf(values[name]!, reference, bound, type, isWritten);
        return shares.max <= 1 ? [] : [`${name}[${worst}] is off by ${shares.max} of its bound`];
      });
      if (strayWrites > 0) found.push(`${strayWrites} stray writes`);
      if (unwritten > 0) found.push(`${unwritten} unwritten elements`);
      if (found.length > 0) faults.set(variant, `${problem.kernel}, ${problem.shape}: ${found.join(', ')}`);
    }
    return faults;
  } finally {
    bench.destroy();
  }
}

/** The calls that a case comes to with a table's variants, on small buffers that no device holds. */
export function callsOf(one: Case, table: VariantTable): KernelCall[] {
  const memory = new MemoryCount(table.adapter);
  const operands: Record<string, Operand> = {};
  for (const [name, { type }] of Object.entries({ ...one.inputs, ...one.outputs })) {
    operands[name] = { buffer: memory.createBuffer(name, 16), offsetBytes: 0, sizeBytes: 16, type };
  }
  return one.calls(table, operands);
}

/** A case's input as a tensor of a graph. */
export const caseInput = (device: Device, { inputs, outputs }: Case, name: string, shape: number[]): Tensor => {
  const { type, values } = inputs[name] ?? outputs[name]!.initial!;
  return input(device, name, shape, values, type);
};

/** The same, whose gradient is wanted. */
export const caseParameter = (device: Device, { inputs, outputs }: Case, name: string, shape: number[]): Tensor => {
  const { type, values } = inputs[name] ?? outputs[name]!.initial!;
  return parameter(device, name, shape, values, type);
};

/** Holds what an op made to what a case's kernel has to make of the same values, or of others in their place. */
export function expectOutputs(one: Case, actual: Readonly<Record<string, Float32Array>>, given: Given = {}): void {
  const expected = one.expected(givenOf(one, given));
  for (const [name, values] of Object.entries(actual)) {
    const { reference, bound } = expected[name]!;
    expectWithin(values, reference, bound, `${one.kernel}, ${one.shape}, ${name}`);
  }
}
