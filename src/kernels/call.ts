/** A kernel call: what a kernel's file and sizes come to, ready to be bound to buffers and dispatched. */
import { UserError } from '../errors.js';
import type { BufferRange } from '../gpu/buffer.js';
import type { Device } from '../gpu/device.js';
import type { Dispatch } from '../gpu/program.js';
import type { ElementType } from './element-type.js';
import { interfaceOf, type KernelInterface, takes } from './interface.js';
import { withLanes } from './lanes.js';
import { type Constants, originOf, specialise, usesSubgroups } from './source.js';

/** A tensor's buffer as a kernel takes it. */
export interface Operand extends BufferRange {
  readonly type: ElementType;
}

export interface KernelCall {
  /** The kernel's name, with its variant: the pipeline's label and the row in a profile. */
  readonly label: string;
  readonly source: string;
  /** What is bound, by the names of the source's bindings. */
  readonly buffers: Readonly<Record<string, BufferRange>>;
  /** The fields of the source's `Params`, by name. */
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: readonly [number, number, number];
  /** The lanes of its subgroups, where the kernel relies on their number. */
  readonly lanes?: number | undefined;
  /** Operations, a multiply-add counted as two, of a call that arithmetic bounds: of the others bytes matter alone. */
  readonly flops?: number | undefined;
  /** How often each thread goes round the kernel's loops, on average; undefined where nobody counts it. */
  readonly rounds?: number | undefined;
}

const MAX_WORKGROUPS = 65535; // per dimension, everywhere (the specification's default, and AMD stores 16 bits)

/** Folds a one-dimensional grid into two; kernels find their index as `y * grid_x + x` and skip what is over. */
export function linearGrid(workgroups: number): [number, number, number] {
  if (workgroups <= MAX_WORKGROUPS) return [Math.max(1, workgroups), 1, 1];
  const y = Math.ceil(workgroups / MAX_WORKGROUPS);
  return [Math.ceil(workgroups / y), y, 1];
}

/** @throws UserError naming the kernel when a grid exceeds what every adapter allows. */
export function grid(label: string, x: number, y = 1, z = 1): [number, number, number] {
  for (const count of [x, y, z]) {
    if (count > MAX_WORKGROUPS) {
      throw new UserError(
        `'${label}' needs ${count} workgroups in one dimension, and adapters allow ${MAX_WORKGROUPS} ` +
          '(maxComputeWorkgroupsPerDimension). Use a smaller micro-batch or context length.',
      );
    }
  }
  return [x, y, z];
}

/** @throws UserError when a tensor has more elements than a u32 index reaches. */
export function checkIndexable(label: string, elements: number): void {
  if (elements > 2 ** 32 - 1) throw new UserError(`${label}: ${elements} elements exceed 32-bit indices`);
}

/**
 * A kernel's arguments, by the names in its .wgsl file. Operands that a variant does not have are left out or
 * undefined.
 */
export interface KernelArguments {
  readonly constants: Constants;
  readonly operands: Readonly<Record<string, Operand | undefined>>;
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: readonly [number, number, number];
  /** Default: the kernel's name. */
  readonly label?: string | undefined;
  readonly lanes?: number | undefined;
  readonly flops?: number | undefined;
  readonly rounds?: number | undefined;
}

/** A call of kernels/NAME.wgsl. @throws Error as `specialise` and `callOf`. */
export function kernelCall(name: string, { constants, ...args }: KernelArguments): KernelCall {
  const source = specialise(name, constants);
  const lanes = usesSubgroups(source) ? Number(constants.LANES) : undefined;
  return callOf(source, { label: name, lanes, ...args });
}

/**
 * A call of WGSL whose bindings have numbers.
 * @throws Error naming the kernel and the operand or parameter that is missing, unknown, of another type than the
 *   source declares, or bound to be read while it is written, and UserError where its grid is too large: the driver
 *   would name no kernel.
 */
export function callOf(
  source: string,
  {
    label,
    operands,
    params,
    workgroups,
    lanes,
    flops,
    rounds,
  }: Omit<KernelArguments, 'constants'> & { readonly label: string },
): KernelCall {
  const { bindings, params: uniform } = interfaceOf(source);
  const bound = Object.entries(operands).filter((entry): entry is [string, Operand] => entry[1] !== undefined);
  const buffers = Object.fromEntries(bound);
  checkNames(label, 'operand', [...bindings.keys()], buffers);
  checkNames(label, 'parameter', uniform?.fields.map(({ name }) => name) ?? [], params);
  for (const [name, { type }] of bound) {
    const binding = bindings.get(name)!;
    if (takes(binding, type)) continue;
    throw new Error(`kernel '${label}' takes '${name}' as ${binding.scalar ?? 'a struct'}, not as ${type}`);
  }
  checkAliasing(label, bindings, buffers);
  return { label, source, buffers, params, workgroups: grid(label, ...workgroups), lanes, flops, rounds };
}

/** @throws Error unless what was given is what the source declares. */
function checkNames(
  label: string,
  what: string,
  declared: readonly string[],
  given: Readonly<Record<string, unknown>>,
) {
  const missing = declared.find(name => !(name in given));
  if (missing) throw new Error(`kernel '${label}' was given no ${what} '${missing}'`);
  const unknown = Object.keys(given).find(name => !declared.includes(name));
  if (unknown) throw new Error(`kernel '${label}' has no ${what} '${unknown}'; it has ${declared.join(', ')}`);
}

/**
 * WebGPU lets no buffer be read and written by one dispatch in bindings of their own, nor written in two that overlap.
 */
function checkAliasing(
  label: string,
  bindings: KernelInterface['bindings'],
  buffers: Readonly<Record<string, BufferRange>>,
): void {
  for (const [written, range] of Object.entries(buffers)) {
    if (!bindings.get(written)!.isWritten) continue;
    for (const [other, { buffer, offsetBytes, sizeBytes }] of Object.entries(buffers)) {
      if (other === written || buffer !== range.buffer) continue;
      const overlap = offsetBytes < range.offsetBytes + range.sizeBytes && range.offsetBytes < offsetBytes + sizeBytes;
      if (overlap || !bindings.get(other)!.isWritten) {
        throw new Error(`kernel '${label}' writes '${written}' where it has '${other}', in '${buffer.label}'`);
      }
    }
  }
}

/** The params of a call as the bytes of its uniform; nothing where it has none. */
export function packParams({ label, source, params }: Pick<KernelCall, 'label' | 'source' | 'params'>): Uint32Array {
  const { fields = [] } = interfaceOf(source).params ?? {};
  const words = new Uint32Array(Math.ceil(fields.length / 4) * 4);
  const floats = new Float32Array(words.buffer);
  fields.forEach(({ name, type }, i) => {
    const value = params[name]!;
    if (type === 'f32') floats[i] = value;
    else if (Number.isInteger(value) && value >= 0 && value < 2 ** 32) words[i] = value;
    else throw new Error(`parameter '${name}' of kernel '${label}' is ${value}, not a u32`);
  });
  return words;
}

/** Compiles a call and binds it; `params` is where its packed params are. */
export async function bindCall(device: Device, call: KernelCall, params: BufferRange): Promise<Dispatch> {
  const { label, source, buffers, workgroups, lanes } = call;
  const { bindings, params: uniform } = interfaceOf(source);
  const pipeline = await device.compile(label, withLanes(device.adapter, source, lanes), line =>
    originOf(source, line),
  );
  const entries = Object.entries(buffers).map(([name, range]) => [bindings.get(name)!.number, range] as const);
  if (uniform) entries.push([uniform.number, params]);
  return { kind: 'dispatch', label, pipeline, bindGroup: device.bind(pipeline, entries), workgroups };
}
