/**
 * A batch on its way to the device: its checks, inputs and targets, and the grouping that the embedding's gradient
 * needs.
 */
import { persistent, type Tensor } from '../autograd/tensor.js';
import { UserError } from '../errors.js';
import type { DeviceBuffer } from '../gpu/buffer.js';
import type { Memory } from '../gpu/memory.js';
import type { Command } from '../gpu/program.js';
import { IGNORED_TARGET } from '../kernels/cross-entropy.js';
import { groupRowsById, type TokenRows } from '../ops/embedding.js';
import type { BatchShape } from './llama.js';
import type { Model } from './model.js';

/** Checks sizes. @throws UserError naming a size that is not a whole number above 0. */
export function checkSizes(sizes: Readonly<Record<string, number>>): void {
  for (const [name, size] of Object.entries(sizes)) {
    if (!Number.isSafeInteger(size) || size < 1) {
      throw new UserError(`${name} is ${size}; it must be a whole number above 0`);
    }
  }
}

/**
 * Checks the array of ids.
 * @throws UserError when it is of another kind, whose values would silently be cut to 32 bits.
 */
export function checkIdArray(ids: Uint32Array): void {
  if (ids instanceof Uint32Array) return;
  const given = (ids as object | undefined)?.constructor.name ?? ids;
  throw new UserError(`token ids must be a Uint32Array, not ${given}; Uint32Array.from(ids) makes one`);
}

/** Checks ids. @throws UserError when an id is neither in the vocabulary nor `other`. */
export function checkIds(ids: ArrayLike<number>, vocabSize: number, other?: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if ((Number.isInteger(id) && id >= 0 && id < vocabSize) || id === other) continue;
    throw new UserError(
      `token id ${id} is outside the model's vocabulary of ${vocabSize}; use the tokenizer that the model was made for`,
    );
  }
}

/**
 * Checks what a caller gives for a batch, who may write plain JavaScript: ids [B, T+1], or [B, T] where there are no
 * targets.
 * @throws UserError when the model was destroyed, the shape is none, or the ids are not a Uint32Array of that shape.
 */
export function checkBatch(model: Model, ids: Uint32Array, { B, T }: BatchShape, targets: 0 | 1 = 1): void {
  model.check();
  checkSizes({ B, T });
  checkIdArray(ids);
  const expected = B * (T + targets);
  if (ids.length !== expected) {
    throw new UserError(`${ids.length} token ids are not [${B}, ${T + targets}]: ${expected} are expected`);
  }
}

/** The tensors that a traced step reads its tokens from; R = B*T. */
export class BatchInputs {
  readonly tokens: TokenRows;
  readonly targets: Tensor;
  /** The weights of the targets, where they have any. */
  readonly weights: Tensor | undefined;
  readonly #parts: readonly Tensor[];

  /** Makes the tensors. @throws UserError when the shape is none. */
  constructor(memory: Memory, { B, T }: BatchShape, isWeighted = false) {
    checkSizes({ B, T });
    const R = B * T;
    const make = (name: string, length: number, dtype: 'u32' | 'f32' = 'u32') =>
      persistent(name, [length], memory.createBuffer(name, 4 * length), dtype);
    this.tokens = { ids: make('token ids', R), order: make('token order', R), starts: make('token groups', R + 1) };
    this.targets = make('targets', R);
    this.weights = isWeighted ? make('weights of targets', R, 'f32') : undefined;
    const { ids, order, starts } = this.tokens;
    this.#parts = [ids, this.targets, order, starts, ...(this.weights ? [this.weights] : [])];
  }

  /** The words of a packed micro-batch. */
  get words(): number {
    return this.#parts.reduce((sum, part) => sum + part.shape[0]!, 0);
  }

  /** Returns the commands that take micro-batch number `index` out of a buffer of packed ones. */
  load(packed: DeviceBuffer, index: number): Command[] {
    let offset = 4 * index * this.words;
    return this.#parts.map((part): Command => {
      const sizeBytes = 4 * part.shape[0]!;
      const from = { buffer: packed, offsetBytes: offset, sizeBytes };
      offset += sizeBytes;
      return { kind: 'copy', from, to: { buffer: part.buffer!, offsetBytes: 0, sizeBytes } };
    });
  }

  destroy(): void {
    for (const { buffer } of this.#parts) buffer!.destroy();
  }
}

/**
 * Packs sequences [n*B, T+1] into n micro-batches of ids, targets (the ids one place further on), order and group
 * starts, and of the targets' weights [n*B, T] where they are given. Rows past the end of `sequences`, and places that
 * hold IGNORED_TARGET, count for nothing.
 * @throws UserError when an id is not in the vocabulary.
 */
export function packSequences(
  sequences: Uint32Array,
  { B, T }: BatchShape,
  microBatches: number,
  vocabSize: number,
  weights?: Float32Array,
): Uint32Array {
  const R = B * T;
  const words = (weights ? 5 : 4) * R + 1;
  const packed = new Uint32Array(microBatches * words);
  const count = sequences.length / (T + 1);
  for (let micro = 0; micro < microBatches; micro++) {
    const start = micro * words;
    const ids = packed.subarray(start, start + R);
    const targets = packed.subarray(start + R, start + 2 * R).fill(IGNORED_TARGET);
    for (let b = 0; b < B && micro * B + b < count; b++) {
      const from = (micro * B + b) * (T + 1);
      ids.set(sequences.subarray(from, from + T), b * T);
      targets.set(sequences.subarray(from + 1, from + 1 + T), b * T);
    }
    ids.forEach((id, row) => {
      if (id === IGNORED_TARGET) ids[row] = 0;
    });
    const { order, starts } = groupRowsById(ids);
    packed.set(order, start + 2 * R);
    packed.set(starts, start + 3 * R);
    if (weights) {
      new Float32Array(packed.buffer, 4 * (start + 4 * R + 1), R).set(weights.subarray(micro * R, (micro + 1) * R));
    }
  }
  checkIds(sequences, vocabSize, IGNORED_TARGET);
  return packed;
}
