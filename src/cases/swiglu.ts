/** SwiGLU of gate and up side by side, or the same with GELU, and its gradient. */
import { type Activation, type SwigluSizes, swigluBackward, swigluForward } from '../kernels/swiglu.js';
import { gegluBackwardBounds, gegluBound, storedBound, swigluBackwardBounds, swigluBound } from '../numerics/bounds.js';
import { type InputClass, inputValues, type StoredType } from '../numerics/inputs.js';
import * as reference from '../numerics/reference.js';
import { apart, sideBySide } from '../numerics/side-by-side.js';
import { type Case, drawn, Input, kernelCase } from './case.js';

export interface SwigluCase extends SwigluSizes {
  readonly type: StoredType;
  readonly inputClass?: InputClass;
}

/** What float64 makes of gate and up, and the bounds. */
const EXACT = {
  silu: {
    ...{ forward: reference.swiglu, backward: reference.swigluBackward },
    ...{ bound: swigluBound, backwardBounds: swigluBackwardBounds },
  },
  gelu_pytorch_tanh: {
    ...{ forward: reference.geglu, backward: reference.gegluBackward },
    ...{ bound: gegluBound, backwardBounds: gegluBackwardBounds },
  },
} as const satisfies Record<Activation, object>;
const showActivation = (activation: Activation) => (activation === 'silu' ? '' : `, ${activation}`);

const sidesOf = (x: reference.Vector, rows: number) =>
  apart(x, rows, Array<number>(2).fill(x.length / rows / 2)) as [gate: reference.Vector, up: reference.Vector];

/** x and dy, [rows, 2 columns] and [rows, columns]. */
function operandsOf({ rows, columns, type, inputClass = 'uniform' }: SwigluCase) {
  const [label, count] = [`${rows} ${columns} ${inputClass}`, rows * columns];
  const isLargest = inputClass === 'largest';
  // the largest are gates; up and dy are multiplied by them, and exp(-gate) overflows for the most negative
  const most = isLargest ? (type === 'f32' ? 2 ** 60 : 2 ** 9) : type === 'f32' ? 2 ** 40 : 2 ** 5;
  const others = isLargest ? 'uniform' : inputClass;
  const x = new Input(type, 2 * count, () => {
    const gate = inputValues(inputClass, `gate ${label}`, count, { type, low: -12, high: 12, most });
    return sideBySide([gate, inputValues(others, `up ${label}`, count, { type, most: 2 ** 5 })], rows);
  });
  return { x, dy: drawn(others, `dy ${label}`, count, { type, most: 2 ** 5 }) };
}

export function swigluForwardCase(given: SwigluCase): Case {
  const { rows, columns, type, inputClass = 'uniform', activation = 'silu' } = given;
  return kernelCase({
    kernel: 'swiglu_forward',
    shape: `${type}, ${rows} x ${columns}${showActivation(activation)}`,
    inputClass,
    inputs: { x: operandsOf(given).x },
    outputs: { y: { type, count: rows * columns } },
    expected({ x }) {
      const [gate, up] = sidesOf(x, rows);
      const y = EXACT[activation].forward(gate, up);
      return { y: { reference: y, bound: storedBound(EXACT[activation].bound(gate, up), y, type) } };
    },
    calls: (variants, operands) => swigluForward(variants, { rows, columns, activation }, operands),
  });
}

export function swigluBackwardCase(given: SwigluCase): Case {
  const { rows, columns, type, inputClass = 'uniform', activation = 'silu' } = given;
  return kernelCase({
    kernel: 'swiglu_backward',
    shape: `${type}, ${rows} x ${columns}${showActivation(activation)}`,
    inputClass,
    inputs: operandsOf(given),
    outputs: { dx: { type, count: 2 * rows * columns } },
    expected({ x, dy }) {
      const [gate, up] = sidesOf(x, rows);
      const { dgate, dup } = EXACT[activation].backward(gate, up, dy);
      const bounds = EXACT[activation].backwardBounds(gate, up, dy);
      const dx = sideBySide([dgate, dup], rows);
      return { dx: { reference: dx, bound: storedBound(sideBySide([bounds.dgate, bounds.dup], rows), dx, type) } };
    },
    calls: (variants, operands) => swigluBackward(variants, { rows, columns, activation }, operands),
  });
}
