/** AdamW, which takes a tensor by elements, to be tuned. */
import { adamw } from '../../kernels/adamw.js';
import type { Operand } from '../../kernels/call.js';
import { defaultElements, elementKey } from '../../kernels/row-variant.js';
import { VariantTable } from '../../kernels/variants.js';
import { adamwBounds } from '../../numerics/bounds.js';
import { adamw as adamw64 } from '../../numerics/reference.js';
import { isSoftware, oddSize, product, type TunedKind, values } from '../kind.js';

const SETTINGS = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };
const [STEP, LR, CLIP_FACTOR] = [3, Math.fround(1e-3), 0.5];
const [CORRECTION1, CORRECTION2] = [SETTINGS.beta1, SETTINGS.beta2].map(beta =>
  Math.fround(1 / (1 - beta ** STEP)),
) as [number, number];
/** As the optimizer keeps them: [learning rate, corrections, step] and [norm, clip factor, …, corrections]. */
const SCHEDULE = Float32Array.of(LR, CORRECTION1, CORRECTION2, 0);
const HEALTH = Float32Array.of(1, CLIP_FACTOR, 0, 0, 1, 0, CORRECTION1, CORRECTION2);
const words = (floats: Float32Array) => new Uint32Array(floats.buffer);

export const elements: TunedKind<'elements'> = {
  shipped: defaultElements,

  variants: adapter =>
    isSoftware(adapter)
      ? product({ workgroup: [Math.max(4, adapter.subgroupSize), 64], each: [4, 16, 64], vector: [1, 4] })
      : product({ workgroup: [64, 128, 256], each: [1, 2, 4], vector: [1, 4] }),

  needs: (_, { workgroup, vector }) => ({ threads: workgroup, workgroupBytes: 0, sums: vector, unrolled: vector }),

  tensors: ({ count, type }) => [
    { name: 'schedule', elements: 4, type: 'f32', words: words(SCHEDULE) },
    { name: 'health', elements: 8, type: 'f32', words: words(HEALTH) },
    ...['gradient', 'parameter', 'm', 'v'].map(name => ({ name, elements: count, type: 'f32' as const })),
    ...(type === 'f16' ? [{ name: 'half', elements: count, type }] : []),
  ],

  calls(request, variant, operands, { adapter }) {
    const [schedule, health, gradient, parameter, m, v, half] = operands as [
      ...[Operand, Operand, Operand, Operand, Operand, Operand],
      Operand?,
    ];
    const table = new VariantTable(adapter, { elements: { [elementKey(request)]: variant } });
    return adamw(table, request.count, SETTINGS, { schedule, health, gradient, parameter, m, v, half });
  },

  small: ({ kernel, count, type }) => ({ kernel, count: oddSize(count, 20_000), type }),

  check({ count, type }) {
    const [gradient, parameter, m] = [values('gradient', count), values('parameter', count), values('m', count)];
    const v = m.map(value => value * value); // as in training: no mean is far beyond its root
    const settings = { ...SETTINGS, lr: LR, clipFactor: CLIP_FACTOR };
    const after = { parameter: parameter.slice(), m: m.slice(), v: v.slice() };
    adamw64(after, gradient, { ...settings, step: STEP });
    const corrections = { correction1: CORRECTION1, correction2: CORRECTION2 };
    const bounds = adamwBounds({ parameter, m, v }, gradient, { ...settings, ...corrections });
    const inputs = [Float64Array.from(SCHEDULE), Float64Array.from(HEALTH), gradient, parameter, m, v];
    if (type === 'f16') inputs.push(new Float64Array(count));
    const outputs = (['parameter', 'm', 'v'] as const).map((name, i) => ({
      index: 3 + i,
      expected: after[name],
      bound: bounds[name],
    }));
    if (type === 'f16') {
      outputs.push({ index: 6, expected: after.parameter, bound: bounds.parameter });
    }
    return { inputs, outputs };
  },
};
