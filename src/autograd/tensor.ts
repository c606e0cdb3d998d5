/** Tensors of a traced graph: a shape and a place, no values. */
import type { DeviceBuffer } from '../gpu/buffer.js';
import type { Operand } from '../kernels/call.js';
import { BYTES, type ElementType } from '../kernels/element-type.js';

export type Shape = readonly number[];
export type DType = ElementType;

export interface Tensor {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Persistent tensors have their place in a buffer; the others are given one by the planner. */
  readonly buffer?: DeviceBuffer;
  /** Where in the buffer a persistent tensor begins; default 0. */
  readonly offsetBytes?: number;
  /** Of a parameter: where its gradient accumulates. */
  readonly gradient?: Tensor;
}

export const sizeOf = (shape: Shape): number => shape.reduce((product, n) => product * n, 1);
/** In whole words, as buffers come. */
export const bytesOf = ({ shape, dtype }: Pick<Tensor, 'shape' | 'dtype'>): number =>
  4 * Math.ceil((BYTES[dtype] * sizeOf(shape)) / 4);
export const showShape = (shape: Shape): string => `[${shape.join(', ')}]`;

/** A tensor that lives in `buffer`, from `offsetBytes` on. */
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

export function rangeOf(tensor: Tensor, buffer: DeviceBuffer): Operand {
  const { dtype, offsetBytes = 0 } = tensor;
  return { buffer, offsetBytes, sizeBytes: Math.max(16, bytesOf(tensor)), type: dtype };
}

/** @throws Error naming the op and both shapes. */
export function expectShape(op: string, what: string, tensor: Tensor, expected: Shape): void {
  const same = tensor.shape.length === expected.length && expected.every((n, i) => n === tensor.shape[i]);
  if (!same)
    throw new Error(`${op}: ${what} '${tensor.name}' is ${showShape(tensor.shape)}, expected ${showShape(expected)}`);
}
