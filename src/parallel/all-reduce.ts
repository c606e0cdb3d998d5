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
    const own = firsts[rank + 1]! - firsts[rank]!;
    if (this.#rows.length < size * own) this.#rows = new Float32Array(size * own);
    const width = wire === 'f32' ? 4 : 2;
    /** The values of each rank, and as many from each as this rank has. */
    const pieces = piecesOf(firsts, width);
    const rows = piecesOf(
      Int32Array.from({ length: size + 1 }, (_, r) => r * own),
      width,
    );
    if (wire === 'f32') this.#exchange(values, pieces, rows, own);
    else this.#exchangeHalves(values, pieces, rows, own);
    return width * (values.length - own + (size - 1) * own);
  }

  #exchange(values: Float32Array, pieces: Pieces, rows: Pieces, own: number): void {
    const received = this.#rows.subarray(0, this.#mpi.size * own);
    this.#wait(this.#mpi.allToAll(bytesOf(values), pieces, bytesOf(received), rows));
    const sums = addRows(received, own);
    this.#wait(this.#mpi.allGather(bytesOf(sums), bytesOf(values), pieces));
  }

  #exchangeHalves(values: Float32Array, pieces: Pieces, rows: Pieces, own: number): void {
    const count = this.#mpi.size * own;
    const length = Math.max(values.length, count);
    if (this.#halves.send.length < length) {
      this.#halves = { send: new Uint16Array(length), receive: new Uint16Array(length) };
    }
    const send = this.#halves.send.subarray(0, values.length);
    const received = this.#halves.receive.subarray(0, count);
    roundToBfloats(values, send);
    this.#wait(this.#mpi.allToAll(bytesOf(send), pieces, bytesOf(received), rows));
    const wide = this.#rows.subarray(0, count);
    widenBfloats(received, wide);
    const sums = this.#halves.send.subarray(0, own);
    roundToBfloats(addRows(wide, own), sums);
    const all = this.#halves.receive.subarray(0, values.length);
    this.#wait(this.#mpi.allGather(bytesOf(sums), bytesOf(all), pieces));
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

/** Returns the pieces, in bytes, that begin and end at elements of so many bytes. */
const piecesOf = (firsts: Int32Array, bytes: number): Pieces => ({
  counts: firsts.subarray(1).map((end, r) => bytes * (end - firsts[r]!)),
  starts: firsts.subarray(0, -1).map(first => bytes * first),
});

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
