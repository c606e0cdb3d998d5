/** Tensors of a traced graph: a shape and a place, no values. */
import type { BufferRange, DeviceBuffer } from '../gpu/buffer.js';

export type Shape = readonly number[];
export type DType = 'f32' | 'u32';

export interface Tensor {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Persistent tensors live in a buffer of their own; the others are given one by the planner. */
  readonly buffer?: DeviceBuffer;
  /** Of a parameter: where its gradient accumulates. */
  readonly gradient?: Tensor;
}

export const sizeOf = (shape: Shape): number => shape.reduce((product, n) => product * n, 1);
/** Both dtypes take four bytes an element. */
export const bytesOf = (tensor: Tensor): number => 4 * sizeOf(tensor.shape);
export const showShape = (shape: Shape): string => `[${shape.join(', ')}]`;

/** A tensor that lives in `buffer`. */
export function persistent(name: string, shape: Shape, buffer: DeviceBuffer, dtype: DType = 'f32'): Tensor {
  if (buffer.sizeBytes < 4 * sizeOf(shape)) {
    throw new Error(`'${name}' ${showShape(shape)} needs more than the ${buffer.sizeBytes} bytes of its buffer`);
  }
  return { name, shape, dtype, buffer };
}

export function rangeOf(tensor: Tensor, buffer: DeviceBuffer): BufferRange {
  return { buffer, offsetBytes: 0, sizeBytes: Math.max(16, bytesOf(tensor)) };
}

/** The bytes of rows first … first+count-1 of a tensor that is bound at `range`. */
export function rowsOf(tensor: Tensor, range: BufferRange, first: number, count: number): BufferRange {
  const rowBytes = bytesOf(tensor) / tensor.shape[0]!;
  return { ...range, offsetBytes: range.offsetBytes + first * rowBytes, sizeBytes: count * rowBytes };
}

/** @throws Error naming the op and both shapes. */
export function expectShape(op: string, what: string, tensor: Tensor, expected: Shape): void {
  const same = tensor.shape.length === expected.length && expected.every((n, i) => n === tensor.shape[i]);
  if (!same)
    throw new Error(`${op}: ${what} '${tensor.name}' is ${showShape(tensor.shape)}, expected ${showShape(expected)}`);
}
