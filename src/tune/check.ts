/** Whether a variant computes what it should, on a small case with edges, against float64. */

import type { Device } from '../gpu/device.js';
import { BYTES, floatsOf, packed } from '../kernels/element-type.js';
import type { KernelRequest } from '../kernels/variants.js';
import { storedBound } from '../numerics/bounds.js';
import { compare } from '../numerics/compare.js';
import { canonical } from './candidates.js';
import type { Check, Variant } from './kind.js';
import { kindOf } from './kinds/index.js';
import { freeTensors, makeTensors, planVariant, tensorsOf } from './subject.js';

/** Checks variants; a case is worked out once, and a variant is checked once on each. */
export class Checker {
  readonly #device: Device;
  readonly #checks = new Map<string, Check>();
  readonly #faults = new Map<string, Promise<string | undefined>>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** @returns why the variant is wrong, or undefined. @throws Error when it does not compile. */
  findFault(request: KernelRequest, variant: Variant): Promise<string | undefined> {
    const kind = kindOf(request);
    const small = { ...request, calls: 1, request: kind.small(request.request) } as KernelRequest;
    const caseKey = canonical([small.request, kind.checkedBy?.(variant)]);
    const check = this.#checks.get(caseKey) ?? kind.check(small.request, variant);
    this.#checks.set(caseKey, check);
    const key = canonical([small.request, variant]);
    const fault = this.#faults.get(key) ?? findFault(this.#device, small, check, variant);
    this.#faults.set(key, fault);
    return fault;
  }
}

async function findFault(
  device: Device,
  request: KernelRequest,
  check: Check,
  variant: Variant,
): Promise<string | undefined> {
  const specs = tensorsOf(request);
  const tensors = makeTensors(device, specs);
  try {
    tensors.forEach(({ buffer, dtype }, i) => {
      device.write(buffer!, packed(check.inputs[i]!, dtype));
    });
    const planned = await planVariant(device, request, variant, tensors);
    device.submit(planned.commands);
    planned.destroy();
    for (const { index, expected, bound } of check.outputs) {
      const { name, elements, type } = specs[index]!;
      const bytes = await device.read(tensors[index]!.buffer!, 0, 4 * Math.ceil((elements * BYTES[type]) / 4));
      const actual = floatsOf(bytes, type).subarray(0, elements);
      const { passed, description } = compare(
        actual,
        expected,
        type === 'f16' ? storedBound(bound, expected, 'f16') : bound,
      );
      if (!passed) return `${name}: ${description.split('\n')[0]}`;
    }
    return undefined;
  } finally {
    freeTensors(tensors);
  }
}
