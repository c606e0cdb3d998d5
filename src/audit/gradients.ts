/**
 * Checks gradients: every op's float64 rule against central differences, and a whole small model on the device against
 * float64.
 */
import type { Device } from '../gpu/device.js';
import type { ModelConfig } from '../model/config.js';
import { traitsOf } from '../model/families.js';
import { initialWeights } from '../model/init.js';
import { Model } from '../model/model.js';
import { attention, attentionBackward } from '../numerics/attention.js';
import { gamma } from '../numerics/bounds.js';
import { gradientDeviation } from '../numerics/gradcheck.js';
import { inputValues } from '../numerics/inputs.js';
import { llama, type Weights } from '../numerics/llama.js';
import * as ops from '../numerics/reference.js';
import { Random } from '../random.js';
import { lossAndGradients } from '../train/gradients.js';
import { type Check, finiteOrNull } from './report.js';

type Vector = ops.Vector;
const dot = (a: Vector, b: Vector): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
const random = (label: string, count: number, most = 2): Vector =>
  inputValues('uniform', `gradient ${label}`, count, { low: -most, high: most });

/** An op as a function of one input, and its gradient for that input. */
interface Rule {
  readonly op: string;
  readonly input: string;
  readonly x: Vector;
  readonly gradient: Vector;
  f(): number;
}

/** Returns a rule for every op: a scalar function of each input, by a random direction dy, and the rule's gradient. */
function gradientRules(): Rule[] {
  const rules: Rule[] = [];
  const rule = (
    op: string,
    f: () => number,
    gradients: Readonly<Record<string, readonly [x: Vector, gradient: Vector]>>,
  ) => {
    for (const [input, [x, gradient]] of Object.entries(gradients)) rules.push({ op, input, x, gradient, f });
  };
  {
    const size = { M: 3, N: 4, K: 5 };
    const [a, b, dy] = [random('a', 15), random('b', 20), random('dc', 12)];
    const forward = { ...size, transposeA: false, transposeB: true };
    rule('matmul', () => dot(ops.matmul(a, b, forward), dy), {
      a: [a, ops.matmul(dy, b, { M: 3, N: 5, K: 4, transposeA: false, transposeB: false })],
      b: [b, ops.matmul(dy, a, { M: 4, N: 5, K: 3, transposeA: true, transposeB: false })],
    });
  }
  {
    const [x, bias, dy] = [random('bias x', 12), random('bias', 4), random('bias dy', 12)];
    rule('add_bias', () => dot(ops.addBias(x, bias), dy), { x: [x, dy], bias: [bias, ops.columnSums(dy, 4)] });
  }
  {
    const [x, w, dy] = [random('x', 15), random('w', 5), random('dy', 15)];
    const forward = () => ops.rmsnorm(x, w, 3, 5, 1e-5);
    const { dx, dweight } = ops.rmsnormBackward(x, w, forward().rstd, dy, 3, 5);
    rule('rmsnorm', () => dot(forward().y, dy), { x: [x, dx], weight: [w, dweight] });
  }
  {
    const [x, dy] = [random('rope x', 72), random('rope dy', 72)];
    const dx = ops.rope(dy, 2, 3, 2, 6, 100, -1);
    rule('rope', () => dot(ops.rope(x, 2, 3, 2, 6, 100, 1), dy), { x: [x, dx] });
  }
  {
    const [gate, up, dy] = [random('gate', 20, 6), random('up', 20), random('swiglu dy', 20)];
    const { dgate, dup } = ops.swigluBackward(gate, up, dy);
    rule('swiglu', () => dot(ops.swiglu(gate, up), dy), { gate: [gate, dgate], up: [up, dup] });
  }
  {
    const [gate, up, dy] = [random('gate', 20, 6), random('up', 20), random('geglu dy', 20)];
    const { dgate, dup } = ops.gegluBackward(gate, up, dy);
    rule('geglu', () => dot(ops.geglu(gate, up), dy), { gate: [gate, dgate], up: [up, dup] });
  }
  {
    const logits = random('logits', 21);
    const loss = () => 0.25 * ops.crossEntropy(logits, [6, 0, 3], 7, 0.25).losses.reduce((a, b) => a + b, 0);
    rule('cross_entropy', loss, { logits: [logits, ops.crossEntropy(logits, [6, 0, 3], 7, 0.25).dlogits] });
  }
  {
    const [table, dy] = [random('table', 12), random('embedding dy', 15)];
    const ids = [3, 0, 3, 1, 3];
    const dtable = ops.embeddingBackward(dy, ids, 4, 3);
    rule('embedding', () => dot(ops.embedding(table, ids, 3), dy), { table: [table, dtable] });
  }
  {
    const shape = { B: 2, T: 4, H: 4, KV: 2, D: 3 };
    const [q, k, v, dout] = [random('q', 96), random('k', 48), random('v', 48), random('dout', 96)];
    const { dq, dk, dv } = attentionBackward({ q, k, v }, dout, shape);
    rule('attention', () => dot(attention({ q, k, v }, shape).out, dout), { q: [q, dq], k: [k, dk], v: [v, dv] });
    const capped = { ...shape, softCap: 2 };
    const of = attentionBackward({ q, k, v }, dout, capped);
    rule('attention, capped', () => dot(attention({ q, k, v }, capped).out, dout), { q: [q, of.dq], k: [k, of.dk] });
  }
  return rules;
}

/** The error allowed: central differences in float64 are good to about 1e-10 of the function. */
const DIFFERENCES = 1e-8;

export function ruleChecks(): Check[] {
  return gradientRules().map(({ op, input, x, gradient, f }) => {
    const { deviation } = gradientDeviation(f, x, gradient);
    return check(op, 'float64', `d${input}`, 'float64 gradient against central differences', deviation, DIFFERENCES);
  });
}

const CONFIG: ModelConfig = {
  vocabSize: 48,
  hiddenSize: 48,
  intermediateSize: 40,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 12,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  tieWordEmbeddings: false,
  maxPositionEmbeddings: 64,
};
/** The models, by what they have beside LLaMA. */
const MODELS: Readonly<Record<string, ModelConfig>> = {
  'two layers': CONFIG,
  'two layers, biases of Q, K, V': { ...CONFIG, qkvBias: true },
  'two layers, norms of Q and K': { ...CONFIG, qkNorm: true },
  'two layers, norms behind attention and MLP, and of the whole Q and K': {
    ...{ ...CONFIG, qkNorm: true, qkNormOver: 'projection', normPlacement: 'after' },
  },
  'two layers, one of them without rotary embedding': { ...CONFIG, nopeLayerInterval: 2 },
  'two layers as in Gemma 2': {
    ...{ ...CONFIG, tieWordEmbeddings: true, ...traitsOf('gemma2'), queryPreAttnScalar: 24 },
    ...{ slidingWindow: 5, slidingWindowPattern: 2, attnLogitSoftcapping: 0.5, finalLogitSoftcapping: 2 },
  },
  'two layers as in Gemma 3, one of them within a window': {
    ...{ ...CONFIG, tieWordEmbeddings: true, ...traitsOf('gemma3'), queryPreAttnScalar: 24 },
    ...{ slidingWindow: 5, slidingWindowPattern: 2, ropeLocalBaseFreq: 100 },
  },
};
const [B, T] = [2, 12];

/**
 * Returns the number of roundings on the longest way from a weight to the loss and back: the sums of each layer,
 * forward and backward, and those of the head. γ of it, times a tensor's largest gradient, is what an error may come to
 * where no op magnifies it. This is an estimate, not a proof; its margin is tested.
 */
function longestChain({ numHiddenLayers, hiddenSize, intermediateSize, vocabSize }: ModelConfig): number {
  const layer = 6 * hiddenSize + 2 * intermediateSize + 3 * T;
  return 2 * (numHiddenLayers * layer + hiddenSize + vocabSize) + B * T;
}

/**
 * Checks the float64 model's gradient against central differences of its loss, and the device's against the float64
 * model's.
 */
export async function modelChecks(device: Device): Promise<Check[]> {
  const checks: Check[] = [];
  for (const [name, config] of Object.entries(MODELS)) checks.push(...(await checksOf(device, name, config)));
  return checks;
}

async function checksOf(device: Device, variant: string, config: ModelConfig): Promise<Check[]> {
  const weights: Weights = new Map();
  const model = await Model.create(device, config, async spec => {
    // weights are larger than initial ones, and biases and offsets not zero, so that every op bends what it is given
    const initial = await initialWeights(config, 1)(spec);
    const isRandom = spec.name.endsWith('.bias') || (config.normUnitOffset && spec.shape.length === 1);
    const values = isRandom
      ? Float32Array.from(random(spec.name, initial.length, 0.5))
      : initial.map(value => (spec.shape.length > 1 ? 8 * value : value));
    weights.set(spec.name, Float64Array.from(values));
    return values;
  });
  try {
    const tokens = new Random(1, 'audit tokens');
    const sequences = Uint32Array.from({ length: B * (T + 1) }, () => tokens.integer(config.vocabSize));
    const rows = Array.from({ length: B }, (_, b) => [...sequences.subarray(b * (T + 1), (b + 1) * (T + 1))]);
    const ids = rows.flatMap(row => row.slice(0, -1));
    const targets = rows.flatMap(row => row.slice(1));
    const exact = llama(config, weights, ids, targets, T);
    const actual = await lossAndGradients(model, sequences, { B, T });
    const bound = gamma(longestChain(config));
    const lossError = Math.abs(actual.loss / exact.loss - 1);
    const checks = [check('model', variant, 'loss', 'error, relative', lossError, bound)];
    for (const [name, gradient] of exact.gradients) {
      const largest = gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const values = actual.gradients.get(name)!;
      const error = gradient.reduce((most, value, i) => Math.max(most, Math.abs(value - values[i]!)), 0);
      checks.push(check('model', variant, name, "error, of the tensor's largest gradient", error / largest, bound));
      const loss = () => llama(config, weights, ids, targets, T).loss;
      const { deviation } = gradientDeviation(loss, weights.get(name)!, gradient, 2);
      checks.push(
        check('model', variant, name, 'float64 gradient against central differences', deviation, DIFFERENCES),
      );
    }
    return checks;
  } finally {
    model.destroy();
  }
}

const check = (
  kernel: string,
  variant: string,
  output: string,
  metric: string,
  value: number,
  bound: number,
): Check => ({
  kernel,
  variant,
  shape: output,
  inputClass: 'uniform',
  metric,
  value: finiteOrNull(value),
  bound,
  passed: value <= bound,
});
