/** The tensors of a traced graph: each has a shape and a place, but no values. */
import type { DeviceBuffer } from '../gpu/buffer.js';
import type { Operand } from '../kernels/call.js';
import { BYTES, type ElementType } from '../kernels/element-type.js';

export type Shape = readonly number[];
export type DType = ElementType;

export interface Tensor {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /** The buffer of a persistent tensor; other tensors are given a place by the planner. */
  readonly buffer?: DeviceBuffer;
  /** The offset in the buffer at which a persistent tensor begins; 0 by default. */
  readonly offsetBytes?: number;
  /** The tensor in which the gradient accumulates, if this is a parameter. */
  readonly gradient?: Tensor;
}

export const sizeOf = (shape: Shape): number => shape.reduce((product, n) => product * n, 1);
/** Returns the bytes of a tensor in whole words, as buffers come. */
export const bytesOf = ({ shape, dtype }: Pick<Tensor, 'shape' | 'dtype'>): number =>
  4 * Math.ceil((BYTES[dtype] * sizeOf(shape)) / 4);
export const showShape = (shape: Shape): string => `[${shape.join(', ')}]`;

/** Returns a tensor that lives in `buffer`, from `offsetBytes` on. */
export function persistent(
  name: string,
  shape: Shape,
  buffer: DeviceBuffer,
  dtype: DType = 'f32',
  offsetBytes = 0,
): Tensor {
  if (buffer.sizeBytes < offsetBytes + bytesOf({ shape, dtype })) {
    throw new Error(`'${name}' ${showShape(shape)} needs more than the ${buffer.sizeBytes} bytes of its buffer`);
  }
  return { name, shape, dtype, buffer, offsetBytes };
}

/** Returns `count` elements of a persistent tensor, from `start` on. */
export function partOf(tensor: Tensor, start: number, count: number): Tensor {
  if (start === 0 && count === sizeOf(tensor.shape)) return tensor;
  const { name, buffer, dtype, offsetBytes = 0 } = tensor;
  return persistent(name, [count], buffer!, dtype, offsetBytes + BYTES[dtype] * start);
}

export function rangeOf(tensor: Tensor, buffer: DeviceBuffer): Operand {
  const { dtype, offsetBytes = 0 } = tensor;
  return { buffer, offsetBytes, sizeBytes: Math.max(16, bytesOf(tensor)), type: dtype };
}

/** Checks a tensor's shape. @throws Error naming the op and both shapes. */
export function expectShape(op: string, what: string, tensor: Tensor, expected: Shape): void {
  const same = tensor.shape.length === expected.length && expected.every((n, i) => n === tensor.shape[i]);
  if (!same)
    throw new Error(`${op}: ${what} '${tensor.name}' is ${showShape(tensor.shape)}, expected ${showShape(expected)}`);
}
