/** The works that every engine is asked for, their inputs as files, and the check of what an engine made of them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { initialWeights } from '../../src/model/init.js';
import { parameterSpecs } from '../../src/model/parameters.js';
import { presetSize } from '../../src/model/presets.js';
import { STEP } from '../catalogue.js';
import { uniform } from '../tensors.js';
import type { Rate } from '../work.js';
import { ADAMW, ADAMW_STEP, adamwInput, adamwOf, verifyAdamw } from '../works/adamw.js';
import { type AttentionArrays, attentionInput, attentionOf, verifyAttention } from '../works/attention.js';
import { costOf } from '../works/case.js';
import { verifyProduct } from '../works/matmul.js';
import { batchOf, LEARNING_RATE, modelConfig, OPTIMIZER, stepFlops } from '../works/step.js';
import type { Task } from './protocol.js';

export interface ComparedWork {
  readonly name: string;
  readonly kind: Task['work'];
  readonly flops: number;
  readonly bytes: number;
  readonly rate: Rate;
  /** Of a training step: for tokens per second. */
  readonly tokens?: number;
  /** Writes the inputs into the folder, and says what to do with them. */
  task(folder: string): Task;
  /** Checks an engine's results, or of a step its losses against ours. @throws Error saying what is wrong. */
  verify(given: { results: string; losses?: readonly number[]; ours?: readonly number[] }): string;
}

function write(folder: string, name: string, values: Float32Array | Uint32Array): void {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  writeFileSync(join(folder, `${name}.${values instanceof Float32Array ? 'f32' : 'u32'}`), bytes);
}

function read(folder: string, name: string): Float32Array {
  const bytes = readFileSync(join(folder, `${name}.f32`));
  return new Float32Array(Uint8Array.from(bytes).buffer);
}

export function matmul(size: number): ComparedWork {
  const input = (name: string) => uniform(name, size * size);
  return {
    name: `matmul ${size}`,
    kind: 'matmul',
    flops: 2 * size ** 3,
    bytes: 12 * size ** 2,
    rate: 'flops',
    task(folder) {
      for (const name of ['a', 'b']) write(folder, name, input(name));
      return { work: 'matmul', size, folder };
    },
    verify: ({ results }) => verifyProduct('matmul', 'NN', size, input('a'), input('b'), read(results, 'c')),
  };
}

function attention(B: number, T: number, H: number, D: number): ComparedWork {
  const shape = { B, T, H, KV: H, D };
  const inputs = ['q', 'k', 'v', 'dout'];
  const input = (name: string) => attentionInput(name, B * T * H * D);
  return {
    name: `attention forward + backward, T ${T}`,
    kind: 'attention',
    ...costOf(attentionOf(shape)),
    rate: 'flops',
    task(folder) {
      for (const name of inputs) write(folder, name, input(name));
      return { work: 'attention', B, T, H, D, folder };
    },
    verify({ results }) {
      const arrays = Object.fromEntries([
        ...inputs.map(name => [name, input(name)]),
        ...['out', 'dq', 'dk', 'dv'].map(name => [name, read(results, name)]),
      ]) as AttentionArrays;
      return verifyAttention('attention', shape, arrays);
    },
  };
}

function adamw(count: number): ComparedWork {
  return {
    name: `AdamW, ${count} parameters`,
    kind: 'adamw',
    ...costOf([adamwOf(count)]),
    rate: 'bytes',
    task(folder) {
      for (const name of ['gradient', 'parameter', 'm', 'v']) write(folder, name, adamwInput(name, count));
      return { work: 'adamw', count, settings: { ...ADAMW, step: ADAMW_STEP }, folder };
    },
    verify({ results }) {
      const after = { parameter: read(results, 'parameter'), m: read(results, 'm'), v: read(results, 'v') };
      return verifyAdamw('AdamW', count, after);
    },
  };
}

/** Steps whose losses are compared before any is timed, and by how much they may differ. */
const COMPARED_STEPS = 12;
export const LOSS_TOLERANCE = 1e-4;

function step(): ComparedWork {
  const { preset, vocabulary, B, T } = STEP;
  const config = modelConfig(presetSize(preset), vocabulary, false, T);
  const specs = parameterSpecs(config);
  return {
    name: 'training step',
    kind: 'step',
    flops: stepFlops(config, { B, T }),
    bytes: 0,
    rate: 'flops',
    tokens: B * T,
    task(folder) {
      const valuesOf = initialWeights(config, 0);
      for (const spec of specs) write(folder, spec.name, valuesOf(spec));
      const batches = Array.from({ length: COMPARED_STEPS }, (_, i) => batchOf(config, { B, T }, i));
      write(folder, 'batches', Uint32Array.from(batches.flatMap(batch => [...batch])));
      const { clip, ...adamw } = OPTIMIZER;
      return {
        work: 'step',
        B,
        T,
        model: config,
        parameters: specs,
        settings: { ...adamw, clip, lr: LEARNING_RATE, step: 1 },
        steps: COMPARED_STEPS,
        folder,
      };
    },
    verify: ({ losses, ours }) => verifyLosses(losses ?? [], ours ?? []),
  };
}

/** @returns how closely they agree. @throws Error when one differs by more than `LOSS_TOLERANCE`. */
export function verifyLosses(losses: readonly number[], ours: readonly number[]): string {
  if (ours.length < COMPARED_STEPS || losses.length !== ours.length) {
    throw new Error(`${losses.length} losses against our ${ours.length}`);
  }
  const worst = losses.map((loss, i) => Math.abs(loss - ours[i]!));
  const first = worst.findIndex(difference => !(difference <= LOSS_TOLERANCE));
  if (first >= 0) {
    throw new Error(
      `the loss of step ${first + 1} is ${losses[first]}, ours ${ours[first]}: more than ${LOSS_TOLERANCE} apart`,
    );
  }
  return `${losses.length} losses within ${Math.max(...worst).toExponential(1)} of ours`;
}

export const COMPARED: readonly ComparedWork[] = [
  matmul(512),
  matmul(1024),
  attention(1, 256, 8, 64),
  adamw(2 ** 22),
  step(),
];
