/** The ranks of a parallel job: processes that a launcher started together, one model trained by all of them. */
import { hostname } from 'node:os';
import { Worker } from 'node:worker_threads';
import { UserError } from '../errors.js';
import type { WireType } from './all-reduce.js';
import type { Launch } from './launch.js';
import { type Reply, type Request, type ThreadData, WORD } from './protocol.js';

/** What a sum over ranks took. */
export interface Summed {
  /** The sums, in the memory of the values. */
  readonly values: ArrayBuffer;
  /** The bytes that this rank sent to others. */
  readonly sentBytes: number;
  /** The milliseconds from its start to its end, waiting for other ranks among them. */
  readonly ms: number;
}

/** Another rank has died or hangs, or the library that connects them failed. */
export class RankError extends Error {
  override name = 'RankError';
}

const TICK_MS = 1000;

/** One rank's view of all that train a model together. */
export type RankGroup = Pick<Ranks, 'rank' | 'size' | 'library' | 'hosts' | 'isLead' | 'localRank' | 'sum' | 'gather'>;

/** A process that trains alone. */
export const ALONE: RankGroup = {
  rank: 0,
  size: 1,
  library: 'no MPI',
  hosts: [hostname()],
  isLead: true,
  localRank: 0,
  sum: async values => ({ values, sentBytes: 0, ms: 0 }),
  gather: async value => [value],
};

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

/**
 * One rank's view of all. What every rank has to call, `sum`, `gather` and `leave`, is called by all in the same order;
 * calls may follow each other without waiting.
 */
export class Ranks {
  readonly rank: number;
  readonly size: number;
  /** The MPI library and its version. */
  readonly library: string;
  /** The name of the machine of each rank. */
  hosts: readonly string[] = [];
  readonly #worker: Worker;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #waiting: Waiting[];
  readonly #clock: NodeJS.Timeout;
  #failure: Error | undefined;

  private constructor(
    worker: Worker,
    words: Int32Array<SharedArrayBuffer>,
    waiting: Waiting[],
    { rank, size, version }: Extract<Reply, { kind: 'joined' }>,
  ) {
    this.#worker = worker;
    this.#words = words;
    this.#waiting = waiting;
    this.rank = rank;
    this.size = size;
    this.library = version;
    this.#clock = setInterval(() => Atomics.add(words, WORD.tick, 1), TICK_MS);
    this.#clock.unref();
    worker.on('message', (reply: Reply) => {
      if (reply.kind === 'failed') this.#fail(new RankError(reply.reason));
      else this.#waiting.shift()!.resolve(reply);
    });
    worker.on('error', error => this.#fail(error as Error));
  }

  /**
   * Joins the other processes that the launcher started.
   * @throws UserError when there is no MPI library, or it is not the launcher's.
   */
  static async join(launch: Launch, file = process.env.BABELGRAD_MPI): Promise<Ranks> {
    const words = new Int32Array(new SharedArrayBuffer(8));
    const workerData: ThreadData = { launch, file, words };
    const worker = new Worker(new URL('./thread.js', import.meta.url), { workerData });
    const reply = await new Promise<Reply>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    if (reply.kind !== 'joined') throw new UserError(reply.kind === 'refused' ? reply.reason : 'MPI did not start');
    const ranks = new Ranks(worker, words, [], reply);
    ranks.hosts = await ranks.gather(hostname());
    return ranks;
  }

  /** Whether this rank is the one that writes files and speaks for all. */
  get isLead(): boolean {
    return this.rank === 0;
  }

  /** The number of this rank among those of its machine. */
  get localRank(): number {
    return this.hosts.slice(0, this.rank).filter(host => host === this.hosts[this.rank]).length;
  }

  /** Replaces f32 values by their sums over ranks, which are the same bits on all. The values' memory is taken over. */
  async sum(values: ArrayBuffer, wire: WireType): Promise<Summed> {
    const reply = await this.#ask({ kind: 'sum', values, wire }, [values]);
    return reply as Extract<Reply, { kind: 'sum' }>;
  }

  /** Gives every rank the values of all, in the order of ranks. They go as JSON. */
  async gather<Value>(value: Value): Promise<Value[]> {
    const reply = await this.#ask({ kind: 'gather', bytes: Buffer.from(JSON.stringify(value)) });
    const { bytes } = reply as Extract<Reply, { kind: 'gather' }>;
    return bytes.map(each => JSON.parse(Buffer.from(each).toString()) as Value);
  }

  /** Ends this rank's part, when all have come to their end. */
  async leave(): Promise<void> {
    await this.#ask({ kind: 'leave' });
    clearInterval(this.#clock);
  }

  /** Ends the processes of all ranks with a status. */
  abort(status: number): void {
    Atomics.store(this.#words, WORD.abort, status + 1);
    Atomics.notify(this.#words, WORD.abort);
  }

  #ask(request: Request, transferred: readonly ArrayBuffer[] = []): Promise<Reply> {
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(request, [...transferred]);
    });
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }
}
