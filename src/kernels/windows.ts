/**
 * Tensors beyond what one binding may hold (`maxStorageBufferBindingSize`: 128 MiB on some adapters) are bound window
 * by window, and a kernel is called once for each. Windows start at multiples of 256 bytes, the coarsest alignment
 * there is.
 */
import { UserError } from '../errors.js';
import type { Operand } from './call.js';
import { BYTES } from './element-type.js';

const ALIGNMENT = 256;

/** A window into an operand: the range to bind, and where in it the window's first element is. */
export interface Window {
  readonly operand: Operand;
  readonly first: number;
}

/** The window of `count` elements from element `start` on. */
export function windowOf(operand: Operand, start: number, count: number): Window {
  const bytes = BYTES[operand.type];
  const offsetBytes = Math.floor((start * bytes) / ALIGNMENT) * ALIGNMENT;
  const first = start - offsetBytes / bytes;
  const sizeBytes = Math.min(
    operand.sizeBytes - offsetBytes,
    Math.max(16, Math.ceil(((first + count) * bytes) / 4) * 4),
  );
  return { operand: { ...operand, offsetBytes: operand.offsetBytes + offsetBytes, sizeBytes }, first };
}

/** A stretch of rows or elements: from `start`, `count` of them. */
export interface Stretch {
  readonly start: number;
  readonly count: number;
}

/** Returns how many of the first `kept` elements of all are in a stretch. */
export const keptIn = ({ start, count }: Stretch, kept: number): number => Math.min(count, Math.max(0, kept - start));

/** Cuts `total` into stretches of at most `most` (of a multiple of `multiple`, but for the last). */
export function stretches(total: number, most: number, multiple = 1): Stretch[] {
  const step = Math.min(total, Math.floor(most / multiple) * multiple);
  const cut: Stretch[] = [];
  for (let start = 0; start < total; start += step) cut.push({ start, count: Math.min(step, total - start) });
  return cut;
}

/**
 * How many rows of `rowElements` a binding holds, an alignment's worth left for where the window begins: any number
 * where the whole operand fits.
 * @throws UserError when not even `multiple` rows fit.
 */
export function rowsWithin(limitBytes: number, operand: Operand, rowElements: number, multiple = 1): number {
  if (operand.sizeBytes <= limitBytes) return Number.MAX_SAFE_INTEGER;
  const rowBytes = rowElements * BYTES[operand.type];
  const rows = Math.floor((limitBytes - ALIGNMENT) / rowBytes);
  if (rows >= multiple) return rows;
  throw new UserError(
    `${multiple} rows of ${rowBytes} bytes of '${operand.buffer.label}' exceed the adapter's ${limitBytes} bytes for ` +
      'one binding (maxStorageBufferBindingSize). Use a smaller micro-batch, context length, model or vocabulary.',
  );
}

/** Rows at whose multiples a window begins without a remainder: a power of two. */
function wholeRows(operand: Operand, rowElements: number): number {
  let rows = 1;
  while ((rows * rowElements * BYTES[operand.type]) % ALIGNMENT !== 0) rows *= 2;
  return rows;
}

/** An operand with its elements a row. */
export type RowOperand = readonly [operand: Operand, rowElements: number];

/**
 * Cuts `rows` rows so that each operand, of so many elements a row, fits a binding; stretches begin at multiples of
 * `multiple`, a power of two.
 * @returns for each stretch its operands by name, and the number of its first row.
 */
export function rowWindows<Name extends string>(
  limitBytes: number,
  rows: number,
  operands: Readonly<Record<Name, RowOperand | undefined>>,
  multiple = 1,
): { readonly start: number; readonly count: number; readonly operands: Record<Name, Operand> }[] {
  const byRow = Object.entries(operands).filter((entry): entry is [Name, RowOperand] => entry[1] !== undefined);
  const whole = Math.max(multiple, ...byRow.map(([, [operand, elements]]) => wholeRows(operand, elements)));
  const most = Math.min(...byRow.map(([, [operand, elements]]) => rowsWithin(limitBytes, operand, elements, whole)));
  return stretches(rows, most, whole).map(({ start, count }) => {
    const windows = byRow.map(([name, [operand, elements]]) => {
      return [name, windowOf(operand, start * elements, count * elements).operand] as const;
    });
    return { start, count, operands: Object.fromEntries(windows) as Record<Name, Operand> };
  });
}
