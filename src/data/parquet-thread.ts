/** The thread that `parquet.ts` starts: it reads a row group each time it is asked to, and says that it is alive. */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../errors.js';
import { type RowGroup, readRowGroups } from './parquet-groups.js';

export interface ThreadData {
  readonly path: string;
  readonly column: string | undefined;
}

/** What the thread says: that it goes on, the next group, that there is none, or why the file cannot be read. */
export type ThreadMessage = 'alive' | 'end' | { readonly group: RowGroup } | { readonly error: string };

const say = (message: ThreadMessage) => parentPort!.postMessage(message);
const { path, column } = workerData as ThreadData;
const groups = readRowGroups(path, column, () => say('alive'));

parentPort!.on('message', () => {
  groups.next().then(
    ({ done, value }) => say(done ? 'end' : { group: value }),
    (error: unknown) => say({ error: messageOf(error) }),
  );
});
