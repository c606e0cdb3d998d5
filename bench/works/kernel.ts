/** A work made of a traced graph: planned once, checked, then repeated so often that submitting weighs little. */
import type { Graph } from '../../src/autograd/graph.js';
import { plan } from '../../src/autograd/plan.js';
import { bytesOf, sizeOf, type Tensor } from '../../src/autograd/tensor.js';
import type { Device } from '../../src/gpu/device.js';
import { floatsOf } from '../../src/kernels/element-type.js';
import type { VariantTable } from '../../src/kernels/variants.js';
import type { Precision } from '../../src/model/tensors.js';
import { compare } from '../../src/numerics/compare.js';
import type { Vector } from '../../src/numerics/reference.js';
import type { Work, WorkInfo } from '../work.js';

/** Milliseconds of one run, about. */
const RUN_MILLISECONDS = 20;
/** Timestamps of one query set go around this many dispatches. */
const MAX_DISPATCHES = 1024;

export interface KernelWork extends Omit<WorkInfo, 'check' | 'precision'> {
  /** Of the operands; f32 unless given. */
  readonly precision?: Precision;
  readonly graph: Graph;
  /** The shipped ones unless given. */
  readonly variants?: VariantTable | undefined;
  /** Placed ones, freed with the work. */
  readonly tensors: readonly Tensor[];
  /** Checks the result of the first run. @returns how close it came. @throws Error when it is wrong. */
  check(read: (tensor: Tensor) => Promise<Float32Array>): Promise<string>;
}

/** @throws Error when the first result is not that of the reference: a wrong kernel has no speed. */
export async function kernelWork(
  device: Device,
  { graph, tensors, variants, check, precision = 'f32', ...info }: KernelWork,
): Promise<Work> {
  const free = () => {
    for (const { buffer, gradient } of tensors) {
      buffer!.destroy();
      gradient?.buffer?.destroy();
    }
  };
  const bound = await plan(device, graph, { variants }).catch((error: unknown) => {
    free();
    throw error;
  });
  const destroy = () => {
    bound.destroy();
    free();
  };
  const runTimes = async (times: number) => {
    device.submit(Array.from({ length: times }, () => bound.commands).flat());
    await device.idle();
  };
  try {
    await runTimes(1);
    const checked = await check(async tensor => {
      const { buffer, offsetBytes } = bound.rangeOf(tensor);
      const bytes = await device.read(buffer, offsetBytes, bytesOf(tensor));
      const values = floatsOf(bytes, tensor.dtype);
      return values.subarray(0, sizeOf(tensor.shape));
    });
    const dispatches = bound.commands.filter(({ kind }) => kind === 'dispatch').length;
    const perRun = await repetitions(runTimes, Math.floor(MAX_DISPATCHES / dispatches));
    return {
      ...info,
      precision,
      check: checked,
      perRun,
      run: (times = perRun) => runTimes(times),
      ...(device.adapter.features.includes('timestamp-query') && {
        async gpuTime() {
          const times = await device.time(Array.from({ length: perRun }, () => bound.commands).flat());
          return times.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / perRun;
        },
      }),
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** How often it must be repeated to take about `RUN_MILLISECONDS`: doubled until it does, `most` times at most. */
export async function repetitions(run: (times: number) => Promise<void>, most: number): Promise<number> {
  for (let times = 1; ; times *= 2) {
    const started = performance.now();
    await run(times);
    const elapsed = performance.now() - started;
    if (elapsed >= RUN_MILLISECONDS / 2 || 2 * times > most) return times;
  }
}

/** Elements that a check of independent ones takes at most; odd, so that they fall on every lane. */
const SPREAD = 2 ** 20 + 1;

/** Indices of elements spread evenly over `count`, the first and the last among them. */
export function spread(count: number): Uint32Array {
  const most = Math.min(count, SPREAD);
  return Uint32Array.from({ length: most }, (_, i) => Math.round((i * (count - 1)) / Math.max(1, most - 1)));
}

export const pick = (values: Float32Array, indices: Uint32Array): Float32Array =>
  Float32Array.from(indices, index => values[index]!);

export interface Expected {
  readonly what: string;
  readonly actual: Float32Array;
  readonly reference: Vector;
  readonly bound: Vector | number;
}

/** @returns a line on how many elements were compared. @throws Error naming the work and what is wrong. */
export function verify(work: string, results: readonly Expected[]): string {
  let worst = 0;
  let elements = 0;
  for (const { what, actual, reference, bound } of results) {
    const { passed, maxRatio, description } = compare(actual, reference, bound);
    if (!passed) throw new Error(`${work}: ${what} is wrong, so it is not timed: ${description}`);
    worst = Math.max(worst, maxRatio);
    elements += reference.length;
  }
  return `${elements} elements, worst at ${worst.toPrecision(2)} of the float64 bound`;
}
