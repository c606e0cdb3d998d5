/** Documents of packed windows: how they are cut, and what a kernel makes of each alone. */
import type { Vector } from '../numerics/reference.js';
import { type Input, words } from './case.js';

/** A document's rows, of all rows [B*T]: from `first` on, `length` of them. */
export interface Document {
  readonly first: number;
  readonly length: number;
}

/** Cuts B sequences of T rows into documents of these lengths, over and over; each sequence begins a new one. */
export function documentsOf({ B, T }: { readonly B: number; readonly T: number }, lengths: readonly number[]) {
  const documents: Document[] = [];
  for (let row = 0; row < B * T; row += documents.at(-1)!.length) {
    const length = Math.min(lengths[documents.length % lengths.length]!, T - (row % T));
    documents.push({ first: row, length });
  }
  return documents;
}

/** Where the document of each row begins in its sequence, as kernels read it. */
export const beginsInput = (documents: readonly Document[], { B, T }: { readonly B: number; readonly T: number }) =>
  words(B * T, () => documents.flatMap(({ first, length }) => Array<number>(length).fill(first % T))) as Input<'u32'>;

/** A document's part of what has `width` values a row. */
export const partOf = (values: Vector, { first, length }: Document, width: number): Vector =>
  values.slice(first * width, (first + length) * width);

/** Lengths of documents as a case's shape names them. */
export const showDocuments = (lengths: readonly number[] | undefined): string =>
  lengths ? `, documents of ${lengths.join(' ')}` : '';
