/** A work made of kernels' cases, one after the other on operands of the same names. */
import { Graph } from '../../src/autograd/graph.js';
import type { Tensor } from '../../src/autograd/tensor.js';
import { type Case, type Given, givenOf } from '../../src/cases/case.js';
import { UserError } from '../../src/errors.js';
import type { Device } from '../../src/gpu/device.js';
import type { Operand } from '../../src/kernels/call.js';
import type { VariantTable } from '../../src/kernels/variants.js';
import type { Precision } from '../../src/model/tensors.js';
import { place, uniform } from '../tensors.js';
import type { Work } from '../work.js';
import { type KernelWork, kernelWork, verify } from './kernel.js';

export interface CaseWork extends Omit<KernelWork, 'graph' | 'tensors' | 'flops' | 'bytes' | 'check'> {
  readonly cases: readonly Case[];
  /** Values of an operand; where it gives none, what the host sends is the case's own and the rest uniform. */
  fill?(name: string, count: number): Float32Array | Uint32Array | undefined;
  /** Checks what the first run left in operands. @returns how close it came. @throws Error when it is wrong. */
  check(read: (name: string) => Promise<Float32Array>): Promise<string>;
}

export const costOf = (cases: readonly Case[]): { readonly flops: number; readonly bytes: number } => ({
  flops: cases.reduce((sum, { flops = 0 }) => sum + flops, 0),
  bytes: cases.reduce((sum, { bytes = 0 }) => sum + bytes, 0),
});

/** How a work of some sizes is run. */
export interface KernelOptions {
  readonly precision?: Precision;
  readonly variants?: VariantTable | undefined;
}

/** @throws UserError when halves are wanted of an adapter that has none. */
export function checkHalves(device: Device, precision: Precision): void {
  if (precision === 'f32' || device.adapter.features.includes('shader-f16')) return;
  throw new UserError(`the adapter '${device.adapter.name}' has no f16 (shader-f16)`);
}

/** @throws UserError when an operand exceeds the adapter's limits. */
export async function caseWork(device: Device, { cases, fill, check, ...info }: CaseWork): Promise<Work> {
  const tensors = placeOperands(device, cases, fill);
  const graph = new Graph();
  graph.add({
    op: info.kind,
    inputs: [],
    outputs: [],
    updates: Object.values(tensors),
    launch: (variants, bind) =>
      cases.flatMap(one => {
        const operands: Record<string, Operand> = {};
        for (const name of Object.keys({ ...one.inputs, ...one.outputs })) operands[name] = bind(tensors[name]!);
        return one.calls(variants, operands);
      }),
  });
  return kernelWork(device, {
    ...info,
    ...costOf(cases),
    graph,
    tensors: Object.values(tensors),
    check: read => check(name => read(tensors[name]!)),
  });
}

/** What one case writes, the next reads. */
function placeOperands(device: Device, cases: readonly Case[], fill: CaseWork['fill']): Record<string, Tensor> {
  const placed: Record<string, Tensor> = {};
  try {
    for (const { inputs, outputs } of cases) {
      for (const [name, { type, count }] of Object.entries({ ...inputs, ...outputs })) {
        const given = inputs[name] ?? outputs[name]?.initial;
        const sent = () =>
          given?.isSent ? (type === 'u32' ? Uint32Array : Float32Array).from(given.values) : undefined;
        const values = () => fill?.(name, count) ?? sent() ?? uniform(name, count);
        placed[name] ??= place(device, name, [count], given && values, type);
      }
    }
    return placed;
  } catch (error) {
    for (const { buffer } of Object.values(placed)) buffer!.destroy();
    throw error;
  }
}

/** Compares results with what a case makes of its values, or of others in their place. @throws Error as `verify`. */
export function verifyCase(
  work: string,
  one: Case,
  given: Given,
  actual: Readonly<Record<string, Float32Array>>,
): string {
  const expected = one.expected(givenOf(one, given));
  return verify(
    work,
    Object.entries(actual).map(([what, values]) => ({ what, actual: values, ...expected[what]! })),
  );
}
