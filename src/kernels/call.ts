/** A kernel call: what a kernel's file and sizes come to, ready to be bound to buffers and dispatched. */
import type { ElementType } from '../elements.js';
import { UserError } from '../errors.js';
import type { BufferRange } from '../gpu/buffer.js';
import { type Holes, specialise } from './source.js';

export { BYTES, ELEMENT_TYPES, type ElementType } from '../elements.js';

/** A tensor's buffer as a kernel takes it. */
export interface Operand extends BufferRange {
  readonly type: ElementType;
}

/** A field of a kernel's `Params` uniform: a number is u32, `f32(x)` a float. */
export type Param = number | { readonly f32: number };
export const f32 = (value: number): Param => ({ f32: value });

export interface KernelCall {
  /** The kernel's name, with its variant: the pipeline's label and the row in a profile. */
  readonly label: string;
  readonly source: string;
  /** In binding order; the uniform `Params` comes after them. */
  readonly buffers: readonly BufferRange[];
  readonly params: readonly Param[];
  readonly workgroups: readonly [number, number, number];
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

export function kernelCall(
  name: string,
  holes: Holes,
  buffers: readonly BufferRange[],
  params: readonly Param[],
  workgroups: readonly [number, number, number],
  label = name,
): KernelCall {
  return { label, source: specialise(name, holes), buffers, params, workgroups };
}

/** Packs params as the bytes of a uniform struct of 4-byte scalars. */
export function packParams(params: readonly Param[]): Uint32Array {
  const words = new Uint32Array(Math.max(4, Math.ceil(params.length / 4) * 4));
  const floats = new Float32Array(words.buffer);
  params.forEach((param, i) => {
    if (typeof param !== 'number') floats[i] = param.f32;
    else if (Number.isInteger(param) && param >= 0 && param < 2 ** 32) words[i] = param;
    else throw new Error(`uniform field ${i} is ${param}, not a u32; wrap floats in f32()`);
  });
  return words;
}
