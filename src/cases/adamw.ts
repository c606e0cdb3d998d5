/** AdamW over one tensor. */
import { type AdamwSettings, adamw } from '../kernels/adamw.js';
import { BYTES } from '../kernels/element-type.js';
import { storedBound } from '../numerics/bounds.js';
import { FORMATS, type InputClass, type StoredType, stored } from '../numerics/inputs.js';
import * as reference from '../numerics/reference.js';
import { adamwBounds } from '../numerics/update-bounds.js';
import { scheduleWords } from '../optim/adamw.js';
import { type Case, drawn, Input, kernelCase, sent, updated } from './case.js';

/** The settings of one update. */
export interface UpdateSettings extends AdamwSettings {
  readonly lr: number;
  readonly clipFactor: number;
  /** Counted from 1, for the corrections. */
  readonly step: number;
}

export const SETTINGS: UpdateSettings = {
  ...{ beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 },
  ...{ lr: Math.fround(1e-3), clipFactor: 0.5, step: 3 },
};

export interface AdamwCase {
  readonly count: number;
  /** Whether a copy of the parameter in f16 is kept. */
  readonly isHalf?: boolean;
  /** What the gradient is stored in; f32 by default. */
  readonly gradientType?: StoredType;
  /** Whether the parameter is bf16, rounded by chance (with moments in 8 bits). */
  readonly isBfloat?: boolean;
  /** Frozen at first: it goes by the corrections of its own schedule. */
  readonly staged?: boolean;
  readonly inputClass?: InputClass;
  readonly settings?: UpdateSettings;
}

/** Says what a tensor of a group of its own has. */
export const showGroup = ({ rate = 1, kept = 0 }: AdamwSettings): string =>
  `${rate === 1 ? '' : `, ${rate} of the rate`}${kept === 0 ? '' : `, ${kept} kept`}`;

/** Says what is in f16. */
export const showHalves = (isHalf: boolean, gradientType: StoredType): string =>
  `${gradientType === 'f16' ? ', of an f16 gradient' : ''}${isHalf ? ', with an f16 copy' : ''}`;

/** The gradient, which halves must hold if they are to store it. */
export const gradientOf = (type: StoredType, inputClass: InputClass, label: string, count: number, most: number) =>
  drawn(inputClass, `gradient ${label}`, count, { type, most: Math.min(most, FORMATS[type].largest / 2) });

export function adamwCase(given: AdamwCase): Case {
  const { count, isHalf = false, gradientType = 'f32', staged = false } = given;
  const { inputClass = 'uniform', settings = SETTINGS } = given;
  const { clipFactor, step, rate = 1, kept = 0 } = settings;
  const lr = rate * settings.lr;
  const label = `${count} ${inputClass}`;
  // squares of gradients, and what is stored in halves, must not overflow
  const most = isHalf ? FORMATS.f16.largest / 2 : 2 ** 60;
  const values = (name: string) => drawn(inputClass, `${name} ${label}`, count, { most });
  const m = values('m');
  const squares = () => m.values.map(value => value * value); // as in training: no mean is far beyond its root
  const schedule = new Float32Array(scheduleWords({ ...settings, clip: 0 }, step, settings.lr).buffer);
  const corrections = staged ? [1, 1] : [schedule[1]!, schedule[2]!];
  return kernelCase({
    kernel: 'adamw',
    shape: `${count}${showHalves(isHalf, gradientType)}${staged ? ', frozen at first' : ''}${showGroup(settings)}`,
    inputClass,
    inputs: {
      gradient: gradientOf(gradientType, inputClass, label, count, most),
      schedule: sent(schedule),
      // norm, clip factor, no bad step, loss, loss scale, not skipped, corrections
      health: sent([2, clipFactor, 0, 0, 1, 0, ...corrections]),
    },
    outputs: {
      parameter: updated(values('parameter')),
      m: updated(m),
      v: updated(new Input('f32', count, () => stored(squares(), 'f32'))),
      ...(isHalf && { half: { type: 'f16', count, isWritten: (i: number) => i >= kept } }),
    },
    flops: 15 * count,
    bytes: (6 * 4 + BYTES[gradientType]) * count,
    expected({ gradient, parameter, m, v }) {
      const [correction1, correction2] = [1 / (1 - settings.beta1 ** step), 1 / (1 - settings.beta2 ** step)];
      const bounds = adamwBounds({ parameter, m, v }, gradient, { ...settings, lr, correction1, correction2 });
      const after = { parameter: parameter.slice(), m: m.slice(), v: v.slice() };
      reference.adamw(after, gradient, { ...settings, lr });
      for (const [name, before] of Object.entries({ parameter, m, v })) {
        const moved = name as 'parameter' | 'm' | 'v';
        after[moved].set(before.subarray(0, kept));
        bounds[moved].fill(0, 0, kept);
      }
      const expected = (name: 'parameter' | 'm' | 'v') => ({ reference: after[name], bound: bounds[name] });
      const { parameter: updated } = after;
      const half = { reference: updated, bound: storedBound(bounds.parameter, updated, 'f16') };
      return { parameter: expected('parameter'), m: expected('m'), v: expected('v'), ...(isHalf && { half }) };
    },
    calls: (variants, operands) => adamw(variants, count, { ...settings, staged }, operands),
  });
}
