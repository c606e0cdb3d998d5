/** Reads the row groups of a Parquet file; `parquet.ts` has this done in a thread. */
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

/** What one row group holds. */
export interface RowGroup {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** The number of the first row, from 0. */
  readonly start: number;
  /** The share of the file's bytes that the group is counted as. */
  readonly bytes: number;
}

/**
 * Yields each row group.
 * @param column the only column to read; by default all.
 * @param onProgress is told that something was read.
 * @throws UserError when the file is empty, not Parquet, damaged or not UTF-8, or has no such column or no rows.
 */
export async function* readRowGroups(
  path: string,
  column: string | undefined,
  onProgress: () => void,
): AsyncGenerator<RowGroup> {
  const { file, metadata } = await openParquet(path, onProgress);
  const names = parquetSchema(metadata).children.map(({ element }) => element.name);
  if (column !== undefined && !names.includes(column)) {
    throw new UserError(
      `'${path}' has no column '${column}'; its columns: ${names.join(', ')}. Choose one with --field.`,
    );
  }
  const columns = column === undefined ? names : [column];
  let start = 0;
  for (const group of metadata.row_groups) {
    const end = start + Number(group.num_rows);
    let rows: Record<string, unknown>[];
    try {
      const range = { rowStart: start, rowEnd: end };
      rows = await parquetReadObjects({ file, metadata, columns, ...range, compressors, parsers, onPage: onProgress });
    } catch (error) {
      const what = column === undefined ? '' : `column '${column}' `;
      throw new UserError(`'${path}' rows ${start + 1} to ${end}: ${what}cannot be read: ${messageOf(error)}`);
    }
    // progress goes by rows: groups differ little in what a row takes, and a progress bar needs no more
    const bytesAt = (row: number) => Math.round((file.byteLength * row) / Number(metadata.num_rows));
    yield { rows, start, bytes: bytesAt(end) - bytesAt(start) };
    start = end;
  }
  if (start === 0) throw new UserError(`'${path}' has no rows`);
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

async function openParquet(path: string, onProgress: () => void) {
  checkRegularFile(path);
  const file = await asyncBufferFromFile(path);
  if (file.byteLength === 0) throw new UserError(`'${path}' is empty`);
  const slice = (start: number, end?: number) => {
    onProgress();
    return file.slice(start, end);
  };
  let metadata: FileMetaData;
  try {
    metadata = await parquetMetadataAsync(file);
    checkGroups(metadata);
  } catch (error) {
    throw new UserError(`'${path}' is not a Parquet file, or is cut off: ${messageOf(error)}`);
  }
  return { file: { byteLength: file.byteLength, slice }, metadata };
}

/** Checks the counts of rows. @throws Error when groups and file do not agree. */
function checkGroups({ row_groups: groups, num_rows: rows }: FileMetaData): void {
  const total = groups.reduce((sum, { num_rows: count }) => (count < 0 ? Number.NaN : sum + Number(count)), 0);
  if (total !== Number(rows)) throw new Error(`its row groups do not have the ${rows} rows of the file`);
}
