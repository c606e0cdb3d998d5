/**
 * The installed MPI, called from one thread. Of its interface only what moves bytes is used: sums are made here, in an
 * order that no library chooses. What a handle is differs from one binary interface to another; Open MPI 4 and 5 share
 * theirs (pointers to symbols of the library), MPICH and its kin have another (numbers).
 */
import type { LibraryHandle } from 'koffi';
import { messageOf, UserError } from '../errors.js';
import { requireNative } from '../natives.js';
import type { Launch } from './launch.js';

/** A binary interface: the C type of its handles, and the two that are needed. */
interface Interface {
  readonly handle: 'void *' | 'int';
  readonly world: unknown;
  readonly byte: unknown;
}

/** Returns the interface of a library. */
function interfaceOf(library: LibraryHandle): Interface {
  try {
    const world = library.symbol('ompi_mpi_comm_world', 'char');
    return { handle: 'void *', world, byte: library.symbol('ompi_mpi_byte', 'char') };
  } catch {
    return { handle: 'int', world: 0x44000000, byte: 0x4c00010d }; // MPICH has numbers in place of symbols
  }
}

const OPEN_MPI = ['libmpi.so.40', 'libmpi.40.dylib', 'libmpi.so'];
const MPICH = ['libmpich.so.12', 'libmpi.so.12', 'libmpi.12.dylib'];
/** The files to look for. srun starts processes for either; Open MPI is the one that more clusters have. */
const FILES: Readonly<Record<Launch['launcher'], readonly string[]>> = {
  'Open MPI': OPEN_MPI,
  MPICH,
  srun: [...OPEN_MPI, ...MPICH],
};

/** MPI_THREAD_FUNNELED: all calls come from the thread that made the first. */
const THREAD_FUNNELED = 1;

/** The bytes of each rank in a buffer, one rank after another. */
export interface Pieces {
  readonly counts: Int32Array;
  readonly starts: Int32Array;
}

/** A transfer on its way. Its buffers are held until it is done, since the library writes to them. */
export interface Transfer {
  readonly request: BigUint64Array;
  readonly buffers: readonly unknown[];
}

type Call = (...values: unknown[]) => number;

export class Mpi {
  readonly rank: number;
  readonly size: number;
  /** The library and its version, in its own words. */
  readonly version: string;
  /** @internal The library, which would be unloaded if nothing held it. */
  readonly library: LibraryHandle;
  readonly #world: unknown;
  readonly #byte: unknown;
  readonly #call: (name: string, ...values: unknown[]) => void;

  /**
   * Loads the library and starts it.
   * @param file of the library, where it is not the installed one.
   * @throws UserError when there is no library, or it is not the one that the launcher belongs to.
   */
  constructor({ launcher, size }: Launch, file?: string) {
    this.library = open(launcher, file);
    const { handle, world, byte } = interfaceOf(this.library);
    const signatures: Readonly<Record<string, string>> = {
      MPI_Init_thread: 'void *, void *, int, void *',
      MPI_Comm_rank: `${handle}, void *`,
      MPI_Comm_size: `${handle}, void *`,
      MPI_Get_library_version: 'void *, void *',
      MPI_Ialltoallv: `void *, void *, void *, ${handle}, void *, void *, void *, ${handle}, ${handle}, void *`,
      MPI_Iallgatherv: `void *, int, ${handle}, void *, void *, void *, ${handle}, ${handle}, void *`,
      MPI_Isend: `void *, int, ${handle}, int, int, ${handle}, void *`,
      MPI_Irecv: `void *, int, ${handle}, int, int, ${handle}, void *`,
      MPI_Test: 'void *, void *, void *',
      MPI_Cancel: 'void *',
      MPI_Abort: `${handle}, int`,
      MPI_Finalize: '',
    };
    const calls = new Map(
      Object.entries(signatures).map(([name, types]): [string, Call] => [
        name,
        this.library.func(`int ${name}(${types})`),
      ]),
    );
    this.#call = (name, ...values) => {
      const status = calls.get(name)!(...values);
      if (status !== 0) throw new Error(`${name} failed with status ${status}`);
    };
    this.#world = world;
    this.#byte = byte;
    this.#call('MPI_Init_thread', null, null, THREAD_FUNNELED, new Int32Array(1));
    this.rank = this.#number('MPI_Comm_rank');
    this.size = this.#number('MPI_Comm_size');
    const text = new Uint8Array(8192); // MPI_MAX_LIBRARY_VERSION_STRING is 256 in Open MPI, 8,192 in MPICH
    const length = new Int32Array(1);
    this.#call('MPI_Get_library_version', text, length);
    const [first] = Buffer.from(text.subarray(0, length[0]!))
      .toString()
      .split(/[,\n\0]/);
    this.version = first!.replace(/\s*Version:\s*/, ' ');
    if (this.size !== size) {
      throw new UserError(
        `${launcher} started ${size} processes, but to ${this.version} this one is alone (${this.size} in all): ` +
          'launcher and library do not belong together. Start with the launcher of that library, with ' +
          "'srun --mpi=pmix' on Slurm, or name the right library in BABELGRAD_MPI",
      );
    }
  }

  #number(name: string): number {
    const value = new Int32Array(1);
    this.#call(name, this.#world, value);
    return value[0]!;
  }

  /** Starts to send each rank its piece of `send`, and to receive its piece of this rank's `receive` from each. */
  allToAll(send: Uint8Array, sent: Pieces, receive: Uint8Array, received: Pieces): Transfer {
    const request = new BigUint64Array(1);
    const [byte, world] = [this.#byte, this.#world];
    this.#call(
      'MPI_Ialltoallv',
      ...[send, sent.counts, sent.starts, byte],
      ...[receive, received.counts, received.starts, byte],
      ...[world, request],
    );
    return { request, buffers: [send, sent, receive, received] };
  }

  /** Starts to send `send` to all ranks, and to receive that of each. */
  allGather(send: Uint8Array, receive: Uint8Array, received: Pieces): Transfer {
    const request = new BigUint64Array(1);
    const [byte, world] = [this.#byte, this.#world];
    this.#call(
      'MPI_Iallgatherv',
      ...[send, send.length, byte],
      ...[receive, received.counts, received.starts, byte],
      ...[world, request],
    );
    return { request, buffers: [send, receive, received] };
  }

  /** Starts to send an empty message. */
  sendNothing(to: number, tag: number): Transfer {
    return this.#nothing('MPI_Isend', to, tag);
  }

  /** Starts to wait for an empty message. */
  receiveNothing(from: number, tag: number): Transfer {
    return this.#nothing('MPI_Irecv', from, tag);
  }

  #nothing(name: string, rank: number, tag: number): Transfer {
    const request = new BigUint64Array(1);
    const buffer = new Uint8Array(1);
    this.#call(name, buffer, 0, this.#byte, rank, tag, this.#world, request);
    return { request, buffers: [buffer] };
  }

  /** Whether a transfer is done. The library moves bytes only while it is asked. */
  isDone({ request }: Transfer): boolean {
    const flag = new Int32Array(1);
    this.#call('MPI_Test', request, flag, new Int32Array(32));
    return flag[0] !== 0;
  }

  cancel({ request }: Transfer): void {
    this.#call('MPI_Cancel', request);
  }

  /** Ends the processes of all ranks. */
  abort(status: number): void {
    this.#call('MPI_Abort', this.#world, status);
  }

  /** Ends the use of the library; all ranks must come here. */
  finish(): void {
    this.#call('MPI_Finalize');
  }
}

/** Opens the library. @throws UserError when there is none. */
function open(launcher: Launch['launcher'], file: string | undefined): LibraryHandle {
  const { load } = requireNative<typeof import('koffi')>('koffi');
  const reasons: string[] = [];
  for (const name of file === undefined ? FILES[launcher] : [file]) {
    try {
      return load(name);
    } catch (error) {
      reasons.push(`${name}: ${messageOf(error)}`);
    }
  }
  throw new UserError(
    `${launcher} started several processes, but there is no MPI library to load (${reasons.join('; ')}); install one ` +
      '(Debian: openmpi-bin), or name its file in BABELGRAD_MPI',
  );
}
