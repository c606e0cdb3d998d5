/** A request as something to run: its operands in the real sizes, and the calls of a variant on them. */
import { compile } from '../cases/bench.js';
import type { Case } from '../cases/case.js';
import type { DeviceBuffer } from '../gpu/buffer.js';
import type { Device } from '../gpu/device.js';
import type { Operand } from '../kernels/call.js';
import { BYTES, packed } from '../kernels/element-type.js';
import { type KernelRequest, VariantTable } from '../kernels/variants.js';
import type { Variant } from './kind.js';
import { kindOf } from './kinds/index.js';
import { fill, type Program } from './time.js';

export type Operands = Readonly<Record<string, Operand>>;

export const caseOf = (request: KernelRequest, variant: Variant): Case =>
  kindOf(request).caseOf(request.request, variant);

/** Makes a case's operands, empty; free them with `freeOperands`. @throws UserError beyond the adapter's limits. */
export function makeOperands(device: Device, { inputs, outputs }: Case): Operands {
  const made: Record<string, Operand> = {};
  try {
    for (const [name, { type, count }] of Object.entries({ ...inputs, ...outputs })) {
      const sizeBytes = 4 * Math.ceil((BYTES[type] * count) / 4);
      made[name] = { buffer: device.createBuffer(`tuning ${name}`, sizeBytes), offsetBytes: 0, sizeBytes, type };
    }
    return made;
  } catch (error) {
    freeOperands(made);
    throw error;
  }
}

/** Fills operands with numbers, except those that the host sends along. */
export function fillOperands(device: Device, { inputs, outputs }: Case, operands: Operands): void {
  fill(device, Object.values(operands));
  for (const [name, { buffer, type }] of Object.entries(operands)) {
    const given = inputs[name] ?? outputs[name]?.initial;
    if (given?.isSent) device.write(buffer, packed(given.values, type));
  }
}

export function freeOperands(operands: Operands): void {
  for (const { buffer } of Object.values(operands)) buffer.destroy();
}

/** Compiles and binds a variant. */
export async function programOf(
  device: Device,
  request: KernelRequest,
  variant: Variant,
  operands: Operands,
): Promise<Program> {
  const table = new VariantTable(device.adapter, {}, { [request.kind]: variant });
  const calls = caseOf(request, variant).calls(table, operands);
  let parameters: DeviceBuffer | undefined;
  const destroy = () => parameters?.destroy();
  try {
    const commands = await compile(device, calls, sizeBytes => {
      parameters = device.createBuffer('parameters', sizeBytes, 'uniform');
      return parameters;
    });
    return { commands, destroy };
  } catch (error) {
    destroy();
    throw error;
  }
}
