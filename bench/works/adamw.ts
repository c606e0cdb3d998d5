/** AdamW over one tensor of parameters, without clipping. */
import { adamwCase } from '../../src/cases/adamw.js';
import type { Device } from '../../src/gpu/device.js';
import type { Vector } from '../../src/numerics/reference.js';
import { uniform } from '../tensors.js';
import type { Work } from '../work.js';
import { caseWork, type KernelOptions, verifyCase } from './case.js';
import { pick, spread } from './kernel.js';

export const ADAMW = { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };
export type AdamwArrays = Readonly<Record<'gradient' | 'parameter' | 'm' | 'v', Float32Array>>;

/** Moments as after some steps: v is positive. */
export const adamwInput = (label: string, count: number): Float32Array<ArrayBuffer> =>
  label === 'v' ? uniform(label, count, 0.001, 0.1) : uniform(label, count);

/** The step of the first update, for its bias corrections. */
export const ADAMW_STEP = 10;

export const adamwOf = (count: number) => adamwCase({ count, settings: { ...ADAMW, clipFactor: 1, step: ADAMW_STEP } });

export function adamwWork(device: Device, count: number, { variants }: KernelOptions = {}): Promise<Work> {
  const name = `adamw ${count}`;
  return caseWork(device, {
    name,
    kind: 'adamw',
    variants,
    rate: 'bytes',
    cases: [adamwOf(count)],
    fill: (label, count) => (['schedule', 'health'].includes(label) ? undefined : adamwInput(label, count)),
    check: async read =>
      verifyAdamw(name, count, {
        parameter: await read('parameter'),
        m: await read('m'),
        v: await read('v'),
      }),
  });
}

/** Compares what one update of the inputs left with the float64 update, on elements spread over all. */
export function verifyAdamw(name: string, count: number, after: Pick<AdamwArrays, 'parameter' | 'm' | 'v'>): string {
  const indices = spread(count);
  const given: Record<string, Vector> = {};
  for (const label of ['gradient', 'parameter', 'm', 'v']) {
    given[label] = Float64Array.from(pick(adamwInput(label, count), indices));
  }
  const { parameter, m, v } = after;
  const actual = { parameter: pick(parameter, indices), m: pick(m, indices), v: pick(v, indices) };
  return verifyCase(name, adamwOf(indices.length), given, actual);
}
