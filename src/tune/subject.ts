/** A request as something to run: its tensors, and the calls of a variant on them. */
import { Graph } from '../autograd/graph.js';
import { type Plan, plan } from '../autograd/plan.js';
import { persistent, type Tensor } from '../autograd/tensor.js';
import type { Device } from '../gpu/device.js';
import { BYTES } from '../kernels/element-type.js';
import type { KernelRequest } from '../kernels/variants.js';
import type { TensorSpec, Variant } from './kind.js';
import { kindOf } from './kinds/index.js';

/** The tensors of a kernel. */
export const tensorsOf = (request: KernelRequest): TensorSpec[] => kindOf(request).tensors(request.request);

/** Makes the tensors of a request, empty; free them with `freeTensors`. @throws UserError beyond the adapter's limits. */
export function makeTensors(device: Device, specs: readonly TensorSpec[]): Tensor[] {
  const made: Tensor[] = [];
  try {
    for (const { name, elements, type, words } of specs) {
      const buffer = device.createBuffer(`tuning ${name}`, BYTES[type] * elements);
      made.push(persistent(name, [elements], buffer, type));
      if (words) device.write(buffer, words);
    }
    return made;
  } catch (error) {
    freeTensors(made);
    throw error;
  }
}

export function freeTensors(tensors: readonly Tensor[]): void {
  for (const { buffer } of tensors) buffer!.destroy();
}

/** Compiles and binds a variant. */
export function planVariant(
  device: Device,
  request: KernelRequest,
  variant: Variant,
  tensors: readonly Tensor[],
): Promise<Plan> {
  const graph = new Graph();
  graph.add({
    op: request.key,
    inputs: [],
    outputs: [],
    updates: tensors,
    launch: (variants, bind) => kindOf(request).calls(request.request, variant, tensors.map(bind), variants),
  });
  return plan(device, graph);
}
