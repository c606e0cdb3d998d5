/** The weights of a base with a LoRA adapter, as one model: each matrix is summed up when it is read. */
import type { ParameterSpec } from '../model/parameters.js';
import type { Adapter } from './peft.js';
import type { StoredPiece, TensorPiece } from './safetensors.js';
import type { ModelWeights } from './weight-files.js';
import type { WeightType } from './weight-types.js';

type Spec = Pick<ParameterSpec, 'name' | 'shape'>;

/** W + (alpha / r)·B·A, in f64 and rounded once to f32; what has no adapter keeps its bits. Close both with `close`. */
export class MergedWeights implements ModelWeights {
  readonly path: string;
  readonly #base: ModelWeights;
  readonly #adapter: Adapter;

  constructor(folder: string, base: ModelWeights, adapter: Adapter) {
    this.path = folder;
    this.#base = base;
    this.#adapter = adapter;
  }

  check(specs: readonly Spec[]): string[] {
    return this.#base.check(specs);
  }

  typeOf(spec: Spec): WeightType {
    return this.#adapter.has(spec) ? 'F32' : this.#base.typeOf(spec);
  }

  *pieces(spec: Spec): Generator<TensorPiece> {
    if (!this.#adapter.has(spec)) {
      yield* this.#base.pieces(spec);
      return;
    }
    const values = this.read(spec);
    yield { values, stored: new Uint32Array(values.buffer), first: 0 };
  }

  *storedPieces(spec: Spec): Generator<StoredPiece> {
    yield* this.#adapter.has(spec) ? this.pieces(spec) : this.#base.storedPieces(spec);
  }

  read(spec: Spec): Float32Array {
    const values = this.#base.read(spec);
    if (!this.#adapter.has(spec)) return values;
    const sum = Float64Array.from(values);
    this.#adapter.addTo(sum, spec, 1);
    return Float32Array.from(sum);
  }

  close(): void {
    this.#base.close();
    this.#adapter.close();
  }
}
