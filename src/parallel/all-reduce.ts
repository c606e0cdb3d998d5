/**
 * Sums over ranks in a fixed order: each rank receives its piece of the values from all, adds in the order of ranks in
 * f32, and sends its sums to all. So the bits depend on the number of ranks alone, not on a library or a network, and
 * each rank sends and receives 2 (R-1)/R of the values, as a ring does (Patarasuk & Yuan, 2009).
 */
import { roundToBfloats, widenBfloats } from '../bfloat.js';
import type { Mpi, Pieces, Transfer } from './mpi.js';

/** The type in which values travel. bf16 has the range of f32, and 8 bits of its fraction. */
export const WIRE_TYPES = ['f32', 'bf16'] as const;
export type WireType = (typeof WIRE_TYPES)[number];

/** The values that are summed at once: what travels is cut to this, so that scratch stays small. */
const CHUNK = 2 ** 22;

/** Waits for a transfer. */
export type Wait = (transfer: Transfer) => void;

export class AllReduce {
  readonly #mpi: Mpi;
  readonly #wait: Wait;
  #rows = new Float32Array(0);
  #halves = { send: new Uint16Array(0), receive: new Uint16Array(0) };

  constructor(mpi: Mpi, wait: Wait) {
    this.#mpi = mpi;
    this.#wait = wait;
  }

  /**
   * Replaces values by their sums over ranks.
   * @returns the bytes that this rank sent to others.
   */
  sum(values: Float32Array, wire: WireType): number {
    let sent = 0;
    for (let start = 0; start < values.length; start += CHUNK) {
      sent += this.#sumChunk(values.subarray(start, start + CHUNK), wire);
    }
    return sent;
  }

  #sumChunk(values: Float32Array, wire: WireType): number {
    const { rank, size } = this.#mpi;
    const firsts = Int32Array.from({ length: size + 1 }, (_, r) => Math.floor((values.length * r) / size));
    const counts = Int32Array.from({ length: size }, (_, r) => firsts[r + 1]! - firsts[r]!);
    const own = counts[rank]!;
    const rows = {
      counts: new Int32Array(size).fill(own),
      starts: Int32Array.from({ length: size }, (_, r) => r * own),
    };
    const pieces = { counts, starts: firsts.subarray(0, size) };
    if (wire === 'f32') this.#exchange(values, pieces, rows, own);
    else this.#exchangeHalves(values, pieces, rows, own);
    const width = wire === 'f32' ? 4 : 2;
    return width * (values.length - own + (size - 1) * own);
  }

  #exchange(values: Float32Array, pieces: Pieces, rows: Pieces, own: number): void {
    const { size } = this.#mpi;
    if (this.#rows.length < size * own) this.#rows = new Float32Array(size * own);
    const received = this.#rows.subarray(0, size * own);
    const inBytes = (of: Pieces) => scaled(of, 4);
    this.#wait(this.#mpi.allToAll(bytesOf(values), inBytes(pieces), bytesOf(received), inBytes(rows)));
    const sums = addRows(received, own);
    this.#wait(this.#mpi.allGather(bytesOf(sums), bytesOf(values), inBytes(pieces)));
  }

  #exchangeHalves(values: Float32Array, pieces: Pieces, rows: Pieces, own: number): void {
    const { size } = this.#mpi;
    const length = Math.max(values.length, size * own);
    if (this.#halves.send.length < length) {
      this.#halves = { send: new Uint16Array(length), receive: new Uint16Array(length) };
    }
    if (this.#rows.length < size * own) this.#rows = new Float32Array(size * own);
    const inBytes = (of: Pieces) => scaled(of, 2);
    const send = this.#halves.send.subarray(0, values.length);
    const received = this.#halves.receive.subarray(0, size * own);
    roundToBfloats(values, send);
    this.#wait(this.#mpi.allToAll(bytesOf(send), inBytes(pieces), bytesOf(received), inBytes(rows)));
    const wide = this.#rows.subarray(0, size * own);
    widenBfloats(received, wide);
    const sums = this.#halves.send.subarray(0, own);
    roundToBfloats(addRows(wide, own), sums);
    const all = this.#halves.receive.subarray(0, values.length);
    this.#wait(this.#mpi.allGather(bytesOf(sums), bytesOf(all), inBytes(pieces)));
    widenBfloats(all, values);
  }
}

/** Adds rows [n, count] into the first, in order. */
function addRows(rows: Float32Array, count: number): Float32Array {
  const sums = rows.subarray(0, count);
  for (let start = count; start < rows.length; start += count) {
    for (let i = 0; i < count; i++) sums[i]! += rows[start + i]!;
  }
  return sums;
}

const scaled = ({ counts, starts }: Pieces, bytes: number): Pieces => ({
  counts: counts.map(count => bytes * count),
  starts: starts.map(start => bytes * start),
});

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
