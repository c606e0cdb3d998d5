/**
 * AdamW's moments that are kept in host memory. An update takes them through the device piece by piece, in a few slots
 * of one size. Pieces are stretches of parameters as the optimizer updates them, cut where blocks of 8 bits begin.
 */
import { persistent, type Tensor } from '../autograd/tensor.js';
import type { DeviceBuffer } from '../gpu/buffer.js';
import type { Memory } from '../gpu/memory.js';
import { codedSizes, codesShape, MOMENT_BLOCK, maximaShape } from '../kernels/adamw-8bit.js';
import type { MomentsOf } from '../kernels/tensor-health.js';
import { stretches } from '../kernels/windows.js';
import type { CodedMoments, Moments } from '../optim/moment-codes.js';

/** What of a run is kept in host memory. */
export const OFFLOADS = ['none', 'moments'] as const;
export type Offload = (typeof OFFLOADS)[number];

/** The slots that take turns, and the buffers that moments are read back through. */
const SLOTS = 2;
/** The most that a slot takes: some milliseconds of a bus, far more than what a transfer costs besides. */
const SLOT_BYTES = 32 * 2 ** 20;
/** The least pieces of a small model: slots and readback buffers then take a quarter of what its moments would. */
const PIECES = 16;
/** Both parts of a slot can be bound. */
const ALIGNMENT = 256;

/** Neighbouring groups that are updated at once: where each begins, and the elements of all. */
export interface MomentStretch {
  readonly starts: ReadonlyMap<string, number>;
  readonly count: number;
  readonly isCoded: boolean;
  /** The number of first steps in which they are not updated. */
  readonly frozenSteps: number;
}

/** A part of a stretch, from element `start` on, and the slot that it is updated in. */
export interface MomentPiece {
  readonly start: number;
  readonly count: number;
  readonly moments: MomentsOf<Tensor>;
  readonly frozenSteps: number;
  readonly slot: DeviceBuffer;
  readonly layout: PieceLayout;
  /** Its moments, as they are laid out in the slot. */
  readonly bytes: Uint8Array;
}

/** The first part (m, or codes) begins at 0, the second (v, or maxima) at `second`. */
interface PieceLayout {
  readonly second: number;
  readonly sizeBytes: number;
}

function layoutOf(count: number, isCoded: boolean): PieceLayout {
  const sizes = isCoded ? codedSizes(count) : undefined;
  const [first, last] = sizes ? [sizes.codes, 4 * sizes.maxima] : [4 * count, 4 * count];
  const second = Math.ceil(first / ALIGNMENT) * ALIGNMENT;
  return { second, sizeBytes: second + last };
}

/** The elements that a slot holds: whole blocks. */
function elementsIn(slotBytes: number, isCoded: boolean): number {
  const blockBytes = layoutOf(MOMENT_BLOCK, isCoded).sizeBytes;
  return MOMENT_BLOCK * Math.max(1, Math.floor((slotBytes - ALIGNMENT) / blockBytes));
}

export class HostMoments {
  /** The pieces of each stretch, in the order in which they are updated. */
  readonly pieces: readonly (readonly MomentPiece[])[];
  readonly readbacks: readonly DeviceBuffer[];
  /** The bytes of host memory that the moments take. */
  readonly hostBytes: number;
  readonly #stretches: readonly MomentStretch[];
  readonly #slots: readonly DeviceBuffer[];

  /** @throws UserError when a slot exceeds the adapter's limits. */
  constructor(memory: Memory, all: readonly MomentStretch[], most?: number) {
    const whole = all.reduce((sum, { count, isCoded }) => sum + layoutOf(count, isCoded).sizeBytes, 0);
    const slotBytes = most ?? Math.min(SLOT_BYTES, whole / PIECES);
    this.#stretches = all;
    const cut = all.map(({ count, isCoded }) =>
      stretches(count, elementsIn(slotBytes, isCoded), MOMENT_BLOCK).map(part => ({
        ...part,
        layout: layoutOf(part.count, isCoded),
      })),
    );
    const sizes = cut.flat().map(({ layout }) => layout.sizeBytes);
    const largest = Math.max(0, ...sizes);
    const make = (label: string, usage: 'storage' | 'staging') =>
      Array.from({ length: Math.min(SLOTS, sizes.length) }, () => memory.createBuffer(label, largest, usage));
    this.#slots = make('slot of moments', 'storage');
    this.readbacks = make('readback of moments', 'staging');
    this.hostBytes = sizes.reduce((sum, bytes) => sum + bytes, 0);
    let turn = 0;
    this.pieces = cut.map((parts, i) =>
      parts.map(part => piece(part, all[i]!, this.#slots[turn++ % this.#slots.length]!)),
    );
  }

  get buffers(): readonly DeviceBuffer[] {
    return [...this.#slots, ...this.readbacks];
  }

  has(group: string): boolean {
    return this.#stretches.some(({ starts }) => starts.has(group));
  }

  /** Returns `count` of a group's moments in f32, from element `first` on. */
  read(group: string, first: number, count: number): Moments {
    const moments = { m: new Float32Array(count), v: new Float32Array(count) };
    for (const { at, m, v } of this.#plain(group, first, count)) {
      moments.m.set(m, at);
      moments.v.set(v, at);
    }
    return moments;
  }

  write(group: string, first: number, moments: Moments): void {
    for (const { at, m, v } of this.#plain(group, first, moments.m.length)) {
      m.set(moments.m.subarray(at, at + m.length));
      v.set(moments.v.subarray(at, at + v.length));
    }
  }

  /** Returns a group's moments in 8 bits. */
  readCoded(group: string): CodedMoments {
    const { pieces, count } = this.#of(group);
    const sizes = codedSizes(count);
    const coded = { codes: new Uint8Array(sizes.codes), maxima: new Float32Array(sizes.maxima) };
    for (const { start, codes, maxima } of pieces.map(viewsOfCodes)) {
      coded.codes.set(codes, 2 * start);
      coded.maxima.set(maxima, (2 * start) / MOMENT_BLOCK);
    }
    return coded;
  }

  writeCoded(group: string, given: CodedMoments): void {
    for (const { start, codes, maxima } of this.#of(group).pieces.map(viewsOfCodes)) {
      codes.set(given.codes.subarray(2 * start, 2 * start + codes.length));
      const first = (2 * start) / MOMENT_BLOCK;
      maxima.set(given.maxima.subarray(first, first + maxima.length));
    }
  }

  #of(group: string): { pieces: readonly MomentPiece[]; first: number; count: number } {
    const i = this.#stretches.findIndex(({ starts }) => starts.has(group));
    const { starts, count } = this.#stretches[i]!;
    return { pieces: this.pieces[i]!, first: starts.get(group)!, count };
  }

  /** The m and v of each piece that `count` elements of a group lie in, and where among these they begin. */
  #plain(group: string, first: number, count: number): (Moments & { readonly at: number })[] {
    const { pieces, first: start } = this.#of(group);
    const [from, to] = [start + first, start + first + count];
    return pieces
      .filter(own => own.start < to && from < own.start + own.count)
      .map(own => {
        const [begin, end] = [Math.max(from, own.start), Math.min(to, own.start + own.count)];
        const part = (offset: number) =>
          new Float32Array(own.bytes.buffer, offset + 4 * (begin - own.start), end - begin);
        return { m: part(0), v: part(own.layout.second), at: begin - from };
      });
  }

  destroy(): void {
    for (const buffer of this.buffers) buffer.destroy();
  }
}

function piece(
  part: Pick<MomentPiece, 'start' | 'count' | 'layout'>,
  { isCoded, frozenSteps }: MomentStretch,
  slot: DeviceBuffer,
): MomentPiece {
  const { count, layout } = part;
  const moments: MomentsOf<Tensor> = isCoded
    ? {
        codes: persistent('codes in a slot', codesShape(count), slot, 'u8'),
        maxima: persistent('maxima in a slot', maximaShape(count), slot, 'f32', layout.second),
      }
    : {
        m: persistent('m in a slot', [count], slot),
        v: persistent('v in a slot', [count], slot, 'f32', layout.second),
      };
  let bytes: Uint8Array | undefined; // a dry run needs none
  return {
    ...part,
    moments,
    frozenSteps,
    slot,
    get bytes() {
      bytes ??= new Uint8Array(layout.sizeBytes);
      return bytes;
    },
  };
}

function viewsOfCodes({ start, count, layout, bytes }: MomentPiece): CodedMoments & { readonly start: number } {
  const sizes = codedSizes(count);
  return {
    start,
    codes: bytes.subarray(0, sizes.codes),
    maxima: new Float32Array(bytes.buffer, layout.second, sizes.maxima),
  };
}
