/** TensorFlow.js on its WebGPU backend: what its user would write. */
import { createRequire } from 'node:module';
import { costsOf, installNavigator, startPeak } from './dawn.mjs';
import { readBatches, readFloats, rotaryTables, versionOf } from './files.mjs';

const MASKED = -1e9;

export async function open(adapter) {
  installNavigator(adapter);
  const require = createRequire(import.meta.url);
  const tf = require('@tensorflow/tfjs');
  require('@tensorflow/tfjs-backend-webgpu');
  if (!(await tf.setBackend('webgpu'))) throw new Error('its WebGPU backend does not start');
  await tf.ready();
  return {
    version: versionOf('@tensorflow/tfjs-backend-webgpu'),
    device: adapter,
    prepare(task) {
      return { matmul, attention, adamw, step }[task.work](tf, task);
    },
  };
}

/** Submits what is still queued and waits for it. */
async function finish(tf) {
  const backend = tf.backend();
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
  await backend.queue.onSubmittedWorkDone();
}

/** Repeats `compute`, which returns a list of tensors, on inputs that stay. */
function repeated(tf, compute, inputs) {
  return {
    async run(times) {
      for (let i = 0; i < times; i++) tf.dispose(compute());
      await finish(tf);
    },
    dispose: () => tf.dispose(inputs),
  };
}

async function matmul(tf, task) {
  const inputs = ['a', 'b'].map(name => tf.tensor(readFloats(task, name), [task.size, task.size]));
  const compute = () => [tf.matMul(...inputs)];
  const [c] = compute();
  const results = { c: await c.data() };
  c.dispose();
  return { results, ...repeated(tf, compute, inputs) };
}

/** Causal attention on [B, T, H, D]; mask [T, T] is 0 or very negative. */
function attend(tf, q, k, v, mask) {
  const [Q, K, V] = [q, k, v].map(x => tf.transpose(x, [0, 2, 1, 3]));
  const scores = tf.mul(tf.matMul(Q, K, false, true), 1 / Math.sqrt(q.shape[3]));
  return tf.transpose(tf.matMul(tf.softmax(tf.add(scores, mask)), V), [0, 2, 1, 3]);
}

const causalMask = (tf, T) =>
  tf.tensor(
    Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? MASKED : 0)),
    [T, T],
  );

async function attention(tf, task) {
  const { B, T, H, D } = task;
  const inputs = ['q', 'k', 'v', 'dout'].map(name => tf.tensor(readFloats(task, name), [B, T, H, D]));
  const [q, k, v, dout] = inputs;
  const mask = causalMask(tf, T);
  const compute = () =>
    tf.tidy(() => {
      const { value, grads } = tf.valueAndGrads((q, k, v) => attend(tf, q, k, v, mask))([q, k, v], dout);
      return [value, ...grads];
    });
  const first = compute();
  const [out, dq, dk, dv] = await Promise.all(first.map(tensor => tensor.data()));
  tf.dispose(first);
  return { results: { out, dq, dk, dv }, ...repeated(tf, compute, [...inputs, mask]) };
}

/** p, m, v after update number `step` by gradient g. */
function update(tf, { p, m, v, g }, { lr, beta1, beta2, eps, weightDecay }, step, decay) {
  const mean = tf.add(tf.mul(m, beta1), tf.mul(g, 1 - beta1));
  const variance = tf.add(tf.mul(v, beta2), tf.mul(tf.square(g), 1 - beta2));
  const denominator = tf.add(tf.sqrt(tf.mul(variance, 1 / (1 - beta2 ** step))), eps);
  const change = tf.div(tf.mul(mean, lr / (1 - beta1 ** step)), denominator);
  return { p: tf.sub(decay ? tf.mul(p, 1 - lr * weightDecay) : p, change), m: mean, v: variance };
}

async function adamw(tf, task) {
  const { settings, count } = task;
  const tensor = name => tf.tensor(readFloats(task, name), [count]);
  const g = tensor('gradient');
  let state = { p: tensor('parameter'), m: tensor('m'), v: tensor('v') };
  const one = () => {
    const before = state;
    state = tf.tidy(() => update(tf, { ...before, g }, settings, settings.step, true));
    tf.dispose(before);
  };
  one();
  const results = { parameter: await state.p.data(), m: await state.m.data(), v: await state.v.data() };
  return {
    results,
    async run(times) {
      for (let i = 0; i < times; i++) one();
      await finish(tf);
    },
    dispose: () => tf.dispose([g, state]),
  };
}

/** Mean cross-entropy of a LLaMA on ids and targets [B·T]. */
function lossOf(tf, task, weightOf, ids, targets, { cos, sin, mask }) {
  const { B, T, model } = task;
  const { hiddenSize: C, numAttentionHeads: H, headDim: D, vocabSize: V, rmsNormEps } = model;
  const linear = (x, name) => tf.matMul(x, weightOf(name), false, true);
  const norm = (x, name) => {
    const scale = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), rmsNormEps));
    return tf.mul(tf.mul(x, scale), weightOf(name));
  };
  const rotate = x => {
    const [first, second] = tf.split(tf.reshape(x, [B, T, H, D]), 2, -1);
    const left = tf.sub(tf.mul(first, cos), tf.mul(second, sin));
    return tf.concat([left, tf.add(tf.mul(second, cos), tf.mul(first, sin))], -1);
  };
  let x = tf.matMul(tf.oneHot(ids, V, 1, 0, 'float32'), weightOf('model.embed_tokens'));
  for (let layer = 0; layer < model.numHiddenLayers; layer++) {
    const prefix = `model.layers.${layer}.`;
    const n1 = norm(x, `${prefix}input_layernorm`);
    const q = rotate(linear(n1, `${prefix}self_attn.q_proj`));
    const k = rotate(linear(n1, `${prefix}self_attn.k_proj`));
    const v = tf.reshape(linear(n1, `${prefix}self_attn.v_proj`), [B, T, H, D]);
    const mixed = tf.reshape(attend(tf, q, k, v, mask), [B * T, C]);
    x = tf.add(x, linear(mixed, `${prefix}self_attn.o_proj`));
    const n2 = norm(x, `${prefix}post_attention_layernorm`);
    const gate = linear(n2, `${prefix}mlp.gate_proj`);
    const hidden = tf.mul(tf.mul(gate, tf.sigmoid(gate)), linear(n2, `${prefix}mlp.up_proj`));
    x = tf.add(x, linear(hidden, `${prefix}mlp.down_proj`));
  }
  const logits = linear(norm(x, 'model.norm'), 'lm_head');
  const picked = tf.mul(tf.logSoftmax(logits), tf.oneHot(targets, V, 1, 0, 'float32'));
  return tf.mul(tf.sum(picked), -1 / (B * T));
}

async function step(tf, task) {
  const { settings, parameters } = task;
  const peak = startPeak();
  let state = parameters.map(({ name, shape }) => ({
    p: tf.tensor(readFloats(task, name), shape),
    m: tf.zeros(shape),
    v: tf.zeros(shape),
  }));
  const table = values => tf.tensor(values, [1, task.T, 1, task.model.headDim / 2]);
  const tables = rotaryTables(task);
  const constants = { cos: table(tables.cos), sin: table(tables.sin), mask: causalMask(tf, task.T) };
  const batches = readBatches(task).map(({ ids, targets }) => ({
    ids: tf.tensor1d(ids, 'int32'),
    targets: tf.tensor1d(targets, 'int32'),
  }));
  const index = new Map(parameters.map(({ name }, i) => [name, i]));
  let made = 0;
  const one = async ({ ids, targets }) => {
    made++;
    const before = state;
    const [loss, after] = tf.tidy(() => {
      const forward = (...weights) =>
        lossOf(tf, task, name => weights[index.get(`${name}.weight`)], ids, targets, constants);
      const { value, grads } = tf.valueAndGrads(forward)(before.map(({ p }) => p));
      const squares = grads.map(g => tf.sum(tf.square(g)));
      const norm = tf.sqrt(squares.reduce((a, b) => tf.add(a, b)));
      const factor = tf.minimum(1, tf.div(settings.clip, norm));
      const updated = before.map((given, i) =>
        update(tf, { ...given, g: tf.mul(grads[i], factor) }, settings, made, parameters[i].decay),
      );
      return [value, updated];
    });
    tf.dispose(before);
    state = after;
    const [value] = await loss.data();
    loss.dispose();
    return value;
  };
  const losses = [];
  for (const batch of batches) losses.push(await one(batch));
  const costs = await costsOf(() => one(batches[0]));
  return {
    losses,
    costs: { ...costs, peakBytes: peak() },
    async run(times) {
      for (let i = 0; i < times; i++) await one(batches[0]);
    },
    dispose: () => tf.dispose([state, batches, constants]),
  };
}
