/** AdamW over one tensor of parameters, without clipping. */
import { Graph } from '../../src/autograd/graph.js';
import type { Tensor } from '../../src/autograd/tensor.js';
import type { Device } from '../../src/gpu/device.js';
import { adamw } from '../../src/kernels/adamw.js';
import { gamma, U } from '../../src/numerics/bounds.js';
import { adamw as adamw64 } from '../../src/numerics/reference.js';
import { scheduleWords } from '../../src/optim/adamw.js';
import { place, uniform } from '../tensors.js';
import type { Work } from '../work.js';
import { kernelWork, pick, spread, verify } from './kernel.js';

export const ADAMW = { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };
/** Read: gradient, parameter and both moments. Written: parameter and moments. */
export const adamwBytes = (count: number): number => 7 * 4 * count;

export type AdamwArrays = Readonly<Record<'gradient' | 'parameter' | 'm' | 'v', Float32Array>>;

/** Moments as after some steps: v is positive. */
export const adamwInput = (label: string, count: number): Float32Array<ArrayBuffer> =>
  label === 'v' ? uniform(label, count, 0.001, 0.1) : uniform(label, count);

/** The step of the first update, for its bias corrections. */
export const ADAMW_STEP = 10;

export async function adamwWork(device: Device, count: number): Promise<Work> {
  const name = `adamw ${count}`;
  const tensors: Tensor[] = [];
  for (const label of ['gradient', 'parameter', 'm', 'v']) tensors.push(place(device, label, [count], adamwInput));
  tensors.push(place(device, 'schedule', [4], () => scheduleWords({ ...ADAMW, clip: 0 }, ADAMW_STEP, ADAMW.lr)));
  // norm 0, clip factor 1, no bad step, loss scale 1, not skipped, the corrections
  const corrections = [ADAMW.beta1, ADAMW.beta2].map(beta => 1 / (1 - beta ** ADAMW_STEP));
  tensors.push(place(device, 'health', [8], () => Float32Array.of(0, 1, 0, 0, 1, 0, ...corrections)));
  const [gradient, parameter, m, v, schedule, health] = tensors as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
  const graph = new Graph();
  graph.add({
    op: 'adamw',
    inputs: [gradient, schedule, health],
    outputs: [],
    updates: [parameter, m, v],
    launch: (variants, bind) =>
      adamw(variants, count, ADAMW, {
        gradient: bind(gradient),
        schedule: bind(schedule),
        health: bind(health),
        parameter: bind(parameter),
        m: bind(m),
        v: bind(v),
      }),
  });
  return kernelWork(device, {
    name,
    kind: 'adamw',
    flops: 15 * count,
    bytes: adamwBytes(count),
    rate: 'bytes',
    graph,
    tensors,
    async check(read) {
      const after = {
        gradient: await read(gradient),
        parameter: await read(parameter),
        m: await read(m),
        v: await read(v),
      };
      return verifyAdamw(name, count, after);
    },
  });
}

/** Compares what one update of the inputs left with the float64 update, on elements spread over all. */
export function verifyAdamw(name: string, count: number, after: Pick<AdamwArrays, 'parameter' | 'm' | 'v'>): string {
  const indices = spread(count);
  const wide = (label: string) => Float64Array.from(pick(adamwInput(label, count), indices));
  const gradient = wide('gradient');
  const before = { parameter: wide('parameter'), m: wide('m'), v: wide('v') };
  const state = { parameter: before.parameter.slice(), m: before.m.slice(), v: before.v.slice() };
  const { lr, beta1, beta2, weightDecay } = ADAMW;
  adamw64(state, gradient, { ...ADAMW, clipFactor: 1, step: ADAMW_STEP });
  // two products and a sum, with constants that were rounded themselves
  const bound = {
    m: state.m.map((_, i) => gamma(4) * (beta1 * Math.abs(before.m[i]!) + (1 - beta1) * Math.abs(gradient[i]!))),
    v: state.v.map(value => gamma(5) * value),
    // root (4 u and half of v's error) and division (5 u), products with rounded constants, then p (1 - lr·decay) - update
    parameter: state.parameter.map((p, i) => {
      const denominator = Math.sqrt(state.v[i]! / (1 - beta2 ** ADAMW_STEP));
      const mError = gamma(4) * (beta1 * Math.abs(before.m[i]!) + (1 - beta1) * Math.abs(gradient[i]!));
      const update = (lr * Math.abs(state.m[i]!)) / (1 - beta1 ** ADAMW_STEP) / denominator;
      const updateError = (lr * mError) / (1 - beta1 ** ADAMW_STEP) / denominator + 20 * U * update;
      return updateError + 3 * U * (Math.abs(p) + update) + lr * weightDecay * gamma(3) * Math.abs(p);
    }),
  };
  return verify(
    name,
    (['parameter', 'm', 'v'] as const).map(what => ({
      what,
      actual: pick(after[what], indices),
      reference: state[what],
      bound: bound[what],
    })),
  );
}
