/**
 * Reads the rows of a Parquet file, or the texts of a column, row group by row group: it takes the memory of the
 * largest. A thread does the reading, since the reader can fall into a loop without an end where a file is damaged; a
 * thread that makes no progress is ended.
 */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { messageOf, UserError } from '../errors.js';
import { packageRoot } from '../files.js';
import type { BadRows } from './bad-rows.js';
import type { ThreadData, ThreadMessage } from './parquet-thread.js';
import type { OnRead } from './text-stream.js';

/** The values of a row by column, and its number from 1. */
export interface ParquetRow {
  readonly value: Readonly<Record<string, unknown>>;
  readonly row: number;
}

/** The seconds without a further page after which a file is given up. A page is a megabyte or so. */
const PATIENCE = 30;

/**
 * Yields each row.
 * @param column the only column to read; by default all.
 * @param patience the seconds after which a reader that makes no progress is ended.
 * @throws UserError when the file is empty, not Parquet, damaged or not UTF-8, or has no such column or no rows.
 */
export async function* readParquetRows(
  path: string,
  column?: string,
  onRead?: OnRead,
  patience = PATIENCE,
): AsyncGenerator<ParquetRow> {
  const workerData: ThreadData = { path, column };
  // the thread runs what was compiled, also where the code here was not
  const thread = new Worker(join(packageRoot, 'dist', 'src', 'data', 'parquet-thread.js'), { workerData });
  try {
    for (;;) {
      const message = await nextMessage(thread, path, patience);
      if (message === 'end') return;
      if ('error' in message) throw new UserError(message.error);
      const { rows, start, bytes } = message.group;
      onRead?.(bytes);
      for (const [i, value] of rows.entries()) yield { value, row: start + i + 1 };
    }
  } finally {
    await thread.terminate();
  }
}

/** Asks the thread for a row group, and waits for as long as it makes progress. */
function nextMessage(thread: Worker, path: string, patience: number): Promise<Exclude<ThreadMessage, 'alive'>> {
  return new Promise((resolve, reject) => {
    const refuse = (why: string) =>
      settle(() => reject(new UserError(`'${path}' cannot be read: ${why}; it is damaged, fetch it again`)));
    const giveUp = () => refuse(`nothing more was read of it in ${patience} s`);
    let timer = setTimeout(giveUp, 1000 * patience);
    const onMessage = (message: ThreadMessage) => {
      clearTimeout(timer);
      if (message === 'alive') timer = setTimeout(giveUp, 1000 * patience);
      else settle(() => resolve(message));
    };
    // a thread that runs out of memory ends with an error
    const onError = (error: unknown) => refuse(messageOf(error));
    const settle = (body: () => void) => {
      clearTimeout(timer);
      thread.off('message', onMessage).off('error', onError);
      body();
    };
    thread.on('message', onMessage).on('error', onError);
    thread.postMessage('next');
  });
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
