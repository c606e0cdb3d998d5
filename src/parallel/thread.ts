/**
 * The thread that calls MPI. It serves one request after another, and between and during them it tells the next rank
 * that this one lives, and hears the one before: a rank that has died or hangs is noticed by its neighbour.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, UserError } from '../errors.js';
import { AllReduce } from './all-reduce.js';
import { Mpi, type Transfer } from './mpi.js';
import { type Reply, type Request, type ThreadData, WORD } from './protocol.js';

const BEAT_MS = 1000;
/** A rank whose main loop does not turn for this long no longer says that it lives. */
const STUCK_MS = 20_000;
/** A rank that says nothing for this long is dead to its neighbour. Both together stay below a minute. */
const SILENT_MS = 30_000;
const BEAT_TAG = 1;
/** Polls without a pause at first, since a small transfer takes microseconds; then a core is better left alone. */
const SPINS = 200;
const NAP_MS = 0.2;

const { launch, file, words } = workerData as ThreadData;
const port = parentPort!;
const reply = (message: Reply, transferred: readonly ArrayBuffer[] = []) => port.postMessage(message, [...transferred]);

/** Says that this rank lives, and listens to the one before. */
class Pulse {
  readonly #mpi: Mpi;
  readonly #before: number;
  #sent: Transfer | undefined;
  #expected: Transfer;
  #heard = performance.now();
  #last = 0;
  #tick = 0;
  #ticked = performance.now();

  constructor(mpi: Mpi) {
    this.#mpi = mpi;
    this.#before = (mpi.rank + mpi.size - 1) % mpi.size;
    this.#expected = mpi.receiveNothing(this.#before, BEAT_TAG);
  }

  /** @throws Error when the rank before has been silent for too long. */
  beat(): void {
    const abort = Atomics.load(words, WORD.abort);
    if (abort > 0) this.#mpi.abort(abort - 1);
    const now = performance.now();
    if (now - this.#last < BEAT_MS) return;
    const isLate = now - this.#last > SILENT_MS; // this process was stopped, and could not have heard
    this.#last = now;
    while (this.#mpi.isDone(this.#expected)) {
      this.#heard = now;
      this.#expected = this.#mpi.receiveNothing(this.#before, BEAT_TAG);
    }
    if (isLate) this.#heard = now;
    if (now - this.#heard > SILENT_MS) {
      throw new Error(
        `rank ${this.#before} has not been heard of for ${Math.round((now - this.#heard) / 1000)} s: ` +
          'its process or machine has died, or hangs',
      );
    }
    const tick = Atomics.load(words, WORD.tick);
    if (tick !== this.#tick) this.#ticked = now;
    this.#tick = tick;
    const isAlive = now - this.#ticked < STUCK_MS;
    if (isAlive && (!this.#sent || this.#mpi.isDone(this.#sent))) {
      this.#sent = this.#mpi.sendNothing((this.#mpi.rank + 1) % this.#mpi.size, BEAT_TAG);
    }
  }

  end(): void {
    this.#mpi.cancel(this.#expected);
  }
}

function nap(): void {
  Atomics.wait(words, WORD.abort, Atomics.load(words, WORD.abort), NAP_MS);
}

/** Gathers bytes of any length: first how many, then the bytes. */
function gather(mpi: Mpi, wait: (transfer: Transfer) => void, bytes: Uint8Array): Uint8Array[] {
  const { size } = mpi;
  const each = (count: number) => ({
    counts: new Int32Array(size).fill(count),
    starts: Int32Array.from({ length: size }, (_, rank) => rank * count),
  });
  const counts = new Int32Array(size);
  wait(mpi.allGather(new Uint8Array(Int32Array.of(bytes.length).buffer), new Uint8Array(counts.buffer), each(4)));
  const starts = new Int32Array(size);
  for (let rank = 1; rank < size; rank++) starts[rank] = starts[rank - 1]! + counts[rank - 1]!;
  const all = new Uint8Array(Math.max(1, starts.at(-1)! + counts.at(-1)!));
  wait(mpi.allGather(bytes, all, { counts, starts }));
  return Array.from(counts, (count, rank) => all.slice(starts[rank]!, starts[rank]! + count));
}

function serve(mpi: Mpi): void {
  const pulse = new Pulse(mpi);
  const wait = (transfer: Transfer): void => {
    for (let polls = 0; !mpi.isDone(transfer); polls++) {
      pulse.beat();
      if (polls > SPINS) nap();
    }
  };
  const reduce = new AllReduce(mpi, wait);
  const fail = (error: unknown) => reply({ kind: 'failed', reason: messageOf(error) });
  const timer = setInterval(() => {
    try {
      pulse.beat();
    } catch (error) {
      fail(error);
    }
  }, BEAT_MS);
  const answer = (request: Request): void => {
    if (request.kind === 'sum') {
      const { values, wire } = request;
      const started = performance.now();
      const sentBytes = reduce.sum(new Float32Array(values), wire);
      reply({ kind: 'sum', values, sentBytes, ms: performance.now() - started }, [values]);
    } else if (request.kind === 'gather') {
      reply({ kind: 'gather', bytes: gather(mpi, wait, request.bytes) });
    } else {
      gather(mpi, wait, new Uint8Array(1)); // nobody leaves while another is at work
      clearInterval(timer);
      pulse.end();
      mpi.finish();
      reply({ kind: 'left' });
      port.close();
    }
  };
  port.on('message', (request: Request) => {
    try {
      answer(request);
    } catch (error) {
      fail(error);
    }
  });
}

try {
  const mpi = new Mpi(launch, file);
  serve(mpi);
  reply({ kind: 'joined', rank: mpi.rank, size: mpi.size, version: mpi.version });
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  reply({ kind: 'refused', reason: error.message });
  port.close();
}
