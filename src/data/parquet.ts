/**
 * Reads the rows of a Parquet file, or the texts of a column, row group by row group: it takes the memory of the
 * largest.
 */
import {
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { messageOf, UserError } from '../errors.js';
import { checkRegularFile } from '../input-files.js';
import type { BadRows } from './bad-rows.js';
import type { OnRead } from './text-stream.js';

/** The values of a row by column, and its number from 1. */
export interface ParquetRow {
  readonly value: Readonly<Record<string, unknown>>;
  readonly row: number;
}

/**
 * Yields each row.
 * @param column the only column to read; by default all.
 * @throws UserError when the file is empty, not Parquet, damaged or not UTF-8, or has no such column or no rows.
 */
export async function* readParquetRows(path: string, column?: string, onRead?: OnRead): AsyncGenerator<ParquetRow> {
  const { file, metadata } = await openParquet(path);
  const names = parquetSchema(metadata).children.map(({ element }) => element.name);
  if (column !== undefined && !names.includes(column)) {
    throw new UserError(
      `'${path}' has no column '${column}'; its columns: ${names.join(', ')}. Choose one with --field.`,
    );
  }
  const columns = column === undefined ? names : [column];
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    let rows: Record<string, unknown>[];
    try {
      rows = await parquetReadObjects({ file, metadata, columns, rowStart, rowEnd, compressors, parsers });
    } catch (error) {
      const what = column === undefined ? '' : `column '${column}' `;
      throw new UserError(`'${path}' rows ${rowStart + 1} to ${rowEnd}: ${what}cannot be read: ${messageOf(error)}`);
    }
    // progress goes by rows: groups differ little in what a row takes, and a progress bar needs no more
    const bytesAt = (row: number) => Math.round((file.byteLength * row) / Number(metadata.num_rows));
    onRead?.(bytesAt(rowEnd) - bytesAt(rowStart));
    for (const [i, value] of rows.entries()) yield { value, row: rowStart + i + 1 };
    rowStart = rowEnd;
  }
  if (rowStart === 0) throw new UserError(`'${path}' has no rows`);
}

/**
 * Yields the text of each row in `column`. @throws UserError as `readParquetRows`, and as `rows` where there is no
 * text.
 */
export async function* readParquetTexts(
  path: string,
  column: string,
  rows: BadRows,
  onRead?: OnRead,
): AsyncGenerator<string> {
  for await (const { value, row } of readParquetRows(path, column, onRead)) {
    const text = value[column];
    if (typeof text === 'string') yield text;
    else rows.add({ file: path, unit: 'row', number: row, why: `has no text in column '${column}'` });
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true });
const parsers = {
  stringFromBytes(bytes: Uint8Array | undefined): string | undefined {
    try {
      return bytes && decoder.decode(bytes);
    } catch {
      throw new Error('a text is not UTF-8');
    }
  },
};

async function openParquet(path: string) {
  checkRegularFile(path);
  let file: Awaited<ReturnType<typeof asyncBufferFromFile>>;
  try {
    file = await asyncBufferFromFile(path);
  } catch (error) {
    throw new UserError(`'${path}' cannot be read: ${messageOf(error)}`);
  }
  if (file.byteLength === 0) throw new UserError(`'${path}' is empty`);
  let metadata: FileMetaData;
  try {
    metadata = await parquetMetadataAsync(file);
  } catch (error) {
    throw new UserError(`'${path}' is not a Parquet file, or is cut off: ${messageOf(error)}`);
  }
  return { file, metadata };
}
