/** Texts out of a Parquet column, row group by row group: memory is that of the largest one. */
import {
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { messageOf, UserError } from '../errors.js';
import type { OnRead } from './text-stream.js';

/**
 * Yields the text of each row.
 * @throws UserError when the file is empty, not Parquet, damaged or not UTF-8, has no such column or no rows, or a row
 * has no text in it.
 */
export async function* readParquetTexts(path: string, column: string, onRead?: OnRead): AsyncGenerator<string> {
  const { file, metadata } = await openParquet(path);
  const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
  if (!columns.includes(column)) {
    throw new UserError(
      `'${path}' has no column '${column}'; its columns: ${columns.join(', ')}. Choose one with --field.`,
    );
  }
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    let rows: Record<string, unknown>[];
    try {
      rows = await parquetReadObjects({ file, metadata, columns: [column], rowStart, rowEnd, compressors, parsers });
    } catch (error) {
      throw new UserError(
        `'${path}' rows ${rowStart + 1} to ${rowEnd}: column '${column}' cannot be read: ${messageOf(error)}`,
      );
    }
    // by rows: groups differ little in what a row takes, and a progress bar needs no more
    const bytesAt = (row: number) => Math.round((file.byteLength * row) / Number(metadata.num_rows));
    onRead?.(bytesAt(rowEnd) - bytesAt(rowStart));
    for (const [i, row] of rows.entries()) {
      const text = row[column];
      if (typeof text !== 'string') {
        throw new UserError(`'${path}' row ${rowStart + i + 1} has no text in column '${column}'`);
      }
      yield text;
    }
    rowStart = rowEnd;
  }
  if (rowStart === 0) throw new UserError(`'${path}' has no rows`);
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
