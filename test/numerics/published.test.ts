/**
 * The float64 reference against numbers that others published, most of them made by PyTorch. They are printed in few
 * digits, and some of their inputs are too: a value may be off by half a unit of its last place, and by what as much of
 * each input makes of it.
 */
import { expect, test } from 'vitest';
import * as ops from '../../src/numerics/reference.js';

const f64 = (...values: readonly number[]): Float64Array => Float64Array.from(values);
/** Half a unit of the fourth decimal. */
const HALF = 0.5e-4;

/** `inputs` half a unit of input, `outputs` of output. The derivative of f is taken by differences of that size. */
function expectPublished(
  f: (x: Float64Array) => Float64Array,
  x: Float64Array,
  published: Float64Array,
  { inputs, outputs }: { readonly inputs: number; readonly outputs: number | Float64Array },
): void {
  const exact = f(x);
  const bound = exact.map((_, i) => (typeof outputs === 'number' ? outputs : outputs[i]!));
  for (let j = 0; inputs > 0 && j < x.length; j++) {
    const moved = x.slice();
    moved[j]! += inputs;
    f(moved).forEach((value, i) => {
      bound[i]! += Math.abs(value - exact[i]!);
    });
  }
  expect(published.length).toBe(exact.length);
  const beyond = [...exact.keys()].filter(i => !(Math.abs(exact[i]! - published[i]!) <= bound[i]!));
  expect(beyond.map(i => `[${i}] ${exact[i]}, published ${published[i]}, bound ${bound[i]}`)).toEqual([]);
}

test('softmax: web-platform-tests, webnn/conformance_tests/softmax.https.any.js, the first row of the first case', () => {
  const logits = f64(
    7.9037346839904785,
    6.358251571655273,
    4.833756923675537,
    9.5791654586792,
    0.21071857213974,
    4.554958820343018,
  );
  const softmax = (x: Float64Array) => {
    const { dlogits } = ops.crossEntropy(x, [0], 6, 1);
    return dlogits.map((value, i) => (i === 0 ? value + 1 : value));
  };
  const published = f64(
    0.15068615972995758,
    0.03212761878967285,
    0.006995180621743202,
    0.8048291206359863,
    0.00006871300138300285,
    0.005293202120810747,
  );
  // f32 all the way: exp to three ulp, a sum of six terms, a division
  const outputs = published.map(value => 10 * 2 ** -24 * value);
  expectPublished(softmax, logits, published, { inputs: 0, outputs });
});

test('cross-entropy: the log-softmax of the examples of MindSpore, ops.log_softmax and nn.LogSoftmax', () => {
  const losses = (targets: readonly number[], V: number) => (x: Float64Array) =>
    ops.crossEntropy(x, targets, V, 1).losses;
  const five = f64(1, 2, 3, 4, 5);
  [4.4519143, 3.4519143, 2.4519143, 1.4519144, 0.4519144].forEach((loss, target) => {
    expectPublished(losses([target], 5), five, f64(loss), { inputs: 0, outputs: 4 * 2 ** -24 * 5 });
  });
  const two = f64(-1, 4, -8, 2, -5, 9);
  [
    [5.0067215, 7.00091219],
    [6.72150636e-3, 14.0009127],
    [12.0067215, 9.12250078e-4],
  ].forEach((published, target) => {
    // differences from the largest logit, of f32
    expectPublished(losses([target, target], 3), two, f64(...published), { inputs: 0, outputs: 4 * 2 ** -24 * 14 });
  });
});

test('RMSNorm: burn, nn/norm/rms.rs', () => {
  const published = f64(0, 0.7746, 1.5492, 0.7348, 0.9798, 1.2247, 0.8514, 0.9933, 1.1352);
  const f = (x: Float64Array) => ops.rmsnorm(x, f64(1, 1, 1), 3, 3, 1e-5).y;
  expectPublished(f, f64(0, 1, 2, 3, 4, 5, 6, 7, 8), published, { inputs: 0, outputs: HALF });
});

test('RMSNorm and its gradient: tt-metal, tt-train/tests/ops/rmsnorm_op_test.cpp, by PyTorch', () => {
  const x = f64(
    ...[0.0037, 1.0103, -0.0769, -1.0242, 0.7413, 1.5342, -1.4141, 0.9436, -0.3354, 0.5814],
    ...[2.146, 0.7238, -0.2614, -0.0608, 1.3787, 0.2094, -1.3087, -1.8958, 0.6596, -1.3471],
    ...[1.2607, 1.7451, -1.6049, -0.0411, -0.9609, 0.1918, -1.258, -0.5534, -0.3971, -0.6368],
    ...[0.2271, 0.0791, 0.8026, 0.4299, 0.8505, 1.5362, 0.9735, 0.4186, -1.4561, 1.3001],
  );
  const y = f64(
    ...[0.0051, 1.3943, -0.1061, -1.4135, 1.023, 1.4376, -1.3251, 0.8842, -0.3143, 0.5448],
    ...[1.8006, 0.6073, -0.2194, -0.051, 1.1568, 0.1698, -1.0614, -1.5377, 0.535, -1.0926],
    ...[0.9884, 1.3681, -1.2582, -0.0322, -0.7533, 0.2719, -1.783, -0.7845, -0.5629, -0.9025],
    ...[0.4003, 0.1393, 1.4143, 0.7576, 1.4987, 1.2719, 0.8061, 0.3466, -1.2056, 1.0765],
  );
  // of the sum of all y
  const dx = f64(
    ...[1.3788, 1.0326, 1.4065, 1.7323, 1.1251, 0.6064, 1.2418, 0.7337, 1.0093, 0.8117],
    ...[-0.1564, 0.5033, 0.9603, 0.8673, 0.1995, 0.8934, 0.2968, 0.066, 1.0703, 0.2817],
    ...[0.7355, 0.7169, 0.8457, 0.7855, 0.8209, 1.7072, -0.4837, 0.5811, 0.8173, 0.4551],
    ...[1.1684, 1.5554, -0.3364, 0.6381, -0.4617, 0.3445, 0.5216, 0.6962, 1.2863, 0.4188],
  );
  const ones = f64(1, 1, 1, 1, 1);
  const norm = (x: Float64Array) => ops.rmsnorm(x, ones, 8, 5, 0);
  const gradient = (x: Float64Array) =>
    ops.rmsnormBackward(x, ones, norm(x).rstd, new Float64Array(40).fill(1), 8, 5).dx;
  expectPublished(x => norm(x).y, x, y, { inputs: HALF, outputs: HALF });
  expectPublished(gradient, x, dx, { inputs: HALF, outputs: HALF });
});

test('rotary embedding: ONNX Runtime, contrib_ops/rotary_embedding_op_test.cc, NotInterleaved_SmallData_LlamaMSFT', () => {
  const x = f64(
    ...[-1.0408, 0.9166, -1.3042, -1.1097, -1.2188, 1.1676, 1.0076, -0.7529, -0.225, -0.4327, -1.5071, -0.4586],
    ...[-0.8663, -0.2656, 0.1665, 0.7911, -0.932, -0.8579, -1.0574, -0.1188, -0.9078, 0.3452, -0.5713, -0.2351],
    ...[-0.848, 0.5266, -1.2944, -0.0243, -0.2354, -0.7087, -0.9647, -0.0991, -0.2994, -0.065, -1.572, -1.3211],
  );
  const published = f64(
    ...[-1.0408, 0.9166, -1.3042, -1.1097, -1.2188, 1.1676, 1.0076, -0.7529, -0.225, -0.4327, -1.5071, -0.4586],
    ...[-0.8663, -0.2656, 0.1665, 0.7911, -0.932, -0.8579, -0.8618, -0.0922, -0.9073, -0.7032, -0.5762, -0.2371],
    ...[-0.4377, 0.537, -1.2929, -0.7267, -0.2107, -0.7115, -0.4666, -0.0261, -0.2965, -0.8469, -1.5749, -1.3217],
  );
  const f = (x: Float64Array) => ops.rope(x, 1, 2, 3, 6, 10_000, 1);
  expectPublished(f, x, published, { inputs: HALF, outputs: HALF });
});

test('SiLU: burn, burn-tensor/src/tests/activation/silu.rs', () => {
  const f = (gate: Float64Array) => ops.swiglu(gate, f64(1, 1, 1, 1));
  const published = f64(0.73106, 1.76159, 2.85772, 3.92806);
  expectPublished(f, f64(1, 2, 3, 4), published, { inputs: 0, outputs: 0.5e-5 });
});

test('AdamW: ONNX Runtime, training_ops/cuda/optimizer/adam_test.cc, TorchAdamSingleWeightTest', () => {
  const weight = [-0.1833, 0.674, 0.3117, 0.4283, -0.3958, 0.0742];
  const gradient = [-0.1866, 1.0502, -0.0654, 0.7892, -0.0699, 0.0831];
  const settings = { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 1e-2, clipFactor: 1, step: 1 };
  const f = (given: Float64Array) => {
    const state = { parameter: given.slice(0, 6), m: new Float64Array(6), v: new Float64Array(6) };
    ops.adamw(state, given.slice(6), settings);
    return f64(...state.parameter, ...state.m, ...state.v);
  };
  const published = f64(
    ...[-0.1823, 0.6729, 0.3127, 0.4273, -0.3948, 0.0732],
    ...[-0.0187, 0.105, -0.0065, 0.0789, -0.007, 0.0083],
    ...[3.4822e-5, 1.1029e-3, 4.2755e-6, 6.229e-4, 4.8859e-6, 6.9078e-6],
  );
  // of v five digits are printed
  const outputs = published.map((value, i) => (i < 12 ? HALF : 0.5e-4 * 10 ** Math.floor(Math.log10(value))));
  expectPublished(f, f64(...weight, ...gradient), published, { inputs: HALF, outputs });
});
