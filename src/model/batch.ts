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
      `token id ${id} is outside the model's vocabulary of ${vocabSize}; use the tokenizer that the model was made ` +
        'for, and special tokens that have no row as plain text (--special-tokens text)',
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

/** What else a batch has beside tokens. */
export interface BatchOptions {
  /** Whether the targets have weights. */
  readonly weighted?: boolean | undefined;
  /**
   * The id that ends a document. Where it is given, attention stays within documents and positions count from where a
   * document begins, or where the sequence does.
   */
  readonly documentEnd?: number | undefined;
}

/** Checks the id that ends a document. @throws UserError when it is none of the vocabulary. */
export function checkDocumentEnd(documentEnd: number | undefined, vocabSize: number): void {
  if (documentEnd === undefined) return;
  if (Number.isInteger(documentEnd) && documentEnd >= 0 && documentEnd < vocabSize) return;
  throw new UserError(
    `documentEnd is ${documentEnd}; it must be the id that ends a document, one of the model's ${vocabSize}`,
  );
}

/** The tensors that a traced step reads its tokens from; R = B*T. */
export class BatchInputs {
  readonly tokens: TokenRows;
  readonly targets: Tensor;
  /** The weights of the targets, where they have any. */
  readonly weights: Tensor | undefined;
  /** Where the document of each row begins in its sequence, where attention stays within documents. */
  readonly documents: Tensor | undefined;
  readonly #parts: readonly Tensor[];
  readonly #shape: BatchShape;
  readonly #documentEnd: number | undefined;

  /** Makes the tensors. @throws UserError when the shape is none. */
  constructor(memory: Memory, { B, T }: BatchShape, { weighted = false, documentEnd }: BatchOptions = {}) {
    checkSizes({ B, T });
    const R = B * T;
    const make = (name: string, length: number, dtype: 'u32' | 'f32' = 'u32') =>
      persistent(name, [length], memory.createBuffer(name, 4 * length), dtype);
    this.tokens = { ids: make('token ids', R), order: make('token order', R), starts: make('token groups', R + 1) };
    this.targets = make('targets', R);
    this.weights = weighted ? make('weights of targets', R, 'f32') : undefined;
    this.documents = documentEnd === undefined ? undefined : make('document begins', R);
    const { ids, order, starts } = this.tokens;
    const parts = [ids, this.targets, order, starts, this.weights, this.documents];
    this.#parts = parts.filter(part => part !== undefined);
    this.#shape = { B, T };
    this.#documentEnd = documentEnd;
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

  /**
   * Packs sequences [n*B, T+1] into n micro-batches of ids, targets (the ids one place further on), order and group
   * starts, of the targets' weights [n*B, T] where they have any, and of the begins of documents. Rows past the end of
   * `sequences`, and places that hold IGNORED_TARGET, count for nothing.
   * @throws UserError when an id is not in the vocabulary.
   */
  pack(sequences: Uint32Array, microBatches: number, vocabSize: number, weights?: Float32Array): Uint32Array {
    const { B, T } = this.#shape;
    const R = B * T;
    const packed = new Uint32Array(microBatches * this.words);
    const count = sequences.length / (T + 1);
    for (let micro = 0; micro < microBatches; micro++) {
      let at = micro * this.words;
      const next = (length: number) => {
        at += length;
        return packed.subarray(at - length, at);
      };
      const ids = next(R);
      const targets = next(R).fill(IGNORED_TARGET);
      for (let b = 0; b < B && micro * B + b < count; b++) {
        const from = (micro * B + b) * (T + 1);
        ids.set(sequences.subarray(from, from + T), b * T);
        targets.set(sequences.subarray(from + 1, from + 1 + T), b * T);
      }
      const documents = this.#documentEnd === undefined ? undefined : documentBegins(ids, T, this.#documentEnd);
      ids.forEach((id, row) => {
        if (id === IGNORED_TARGET) ids[row] = 0;
      });
      const { order, starts } = groupRowsById(ids);
      next(R).set(order);
      next(R + 1).set(starts);
      if (this.weights) {
        const { buffer, byteOffset } = next(R);
        new Float32Array(buffer, byteOffset, R).set(weights!.subarray(micro * R, (micro + 1) * R));
      }
      if (documents) next(R).set(documents);
    }
    checkIds(sequences, vocabSize, IGNORED_TARGET);
    return packed;
  }

  destroy(): void {
    for (const { buffer } of this.#parts) buffer!.destroy();
  }
}

/** Returns where the document of each of ids [B*T] begins in its sequence: at its start, or behind `documentEnd`. */
export function documentBegins(ids: Uint32Array, T: number, documentEnd: number): Uint32Array {
  const begins = new Uint32Array(ids.length);
  for (let row = 0; row < ids.length; row++) {
    const t = row % T;
    if (t > 0) begins[row] = ids[row - 1] === documentEnd ? t : begins[row - 1]!;
  }
  return begins;
}
