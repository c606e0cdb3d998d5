/** Texts out of a Parquet column, row group by row group. */
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { messageOf, UserError } from '../errors.js';

/** @throws UserError when the file is not Parquet or has no such column, or a row has no text in it. */
export async function* readParquetTexts(path: string, column: string): AsyncGenerator<string> {
  const file = await asyncBufferFromFile(path);
  if (file.byteLength === 0) throw new UserError(`'${path}' is empty`);
  let metadata: Awaited<ReturnType<typeof parquetMetadataAsync>>;
  try {
    metadata = await parquetMetadataAsync(file);
  } catch (error) {
    throw new UserError(`'${path}' is not a Parquet file: ${messageOf(error)}`);
  }
  const columns = metadata.schema.slice(1).map(({ name }) => name);
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
      rows = await parquetReadObjects({ file, metadata, columns: [column], rowStart, rowEnd, compressors });
    } catch (error) {
      throw new UserError(`'${path}' rows ${rowStart}-${rowEnd}: ${messageOf(error)}`);
    }
    for (const [i, row] of rows.entries()) {
      const text = row[column];
      if (typeof text !== 'string')
        throw new UserError(`'${path}' row ${rowStart + i} has no text in column '${column}'`);
      yield text;
    }
    rowStart = rowEnd;
  }
}
