/** jax-js on its WebGPU backend: what its user would write, every step compiled by `jit`. */
import { costsOf, installNavigator, startPeak } from './dawn.mjs';
import { readBatches, readFloats, rotaryTables, versionOf } from './files.mjs';

// jax-js calls helpers of iterators that Node.js has from version 22 on
const IteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([].values()));
IteratorPrototype.map ??= function* (change) {
  for (const item of this) yield change(item);
};
IteratorPrototype.filter ??= function* (accept) {
  for (const item of this) if (accept(item)) yield item;
};

export async function open(adapter) {
  installNavigator(adapter);
  const jax = await import('@jax-js/jax');
  if (!(await jax.init('webgpu')).includes('webgpu')) throw new Error('its WebGPU backend does not start');
  jax.defaultDevice('webgpu');
  return {
    version: versionOf('@jax-js/jax'),
    device: adapter,
    prepare(task) {
      return { matmul, attention, adamw, step }[task.work](jax, task);
    },
  };
}

const place = ({ numpy }, values, shape) => numpy.array(values).reshape(shape);

/** Repeats a compiled function on inputs that stay, and waits for its last result. */
function repeated(jax, compiled, inputs) {
  return {
    async run(times) {
      let result;
      for (let i = 0; i < times; i++) {
        jax.tree.dispose(result);
        result = compiled(...inputs.map(input => input.ref));
      }
      await jax.blockUntilReady(result);
      jax.tree.dispose(result);
    },
    dispose() {
      for (const input of inputs) input.dispose();
      compiled.dispose();
    },
  };
}

async function matmul(jax, task) {
  const inputs = ['a', 'b'].map(name => place(jax, readFloats(task, name), [task.size, task.size]));
  const compiled = jax.jit((a, b) => jax.numpy.matmul(a, b));
  const c = await compiled(...inputs.map(input => input.ref)).data();
  return { results: { c }, ...repeated(jax, compiled, inputs) };
}

async function attention(jax, task) {
  const { B, T, H, D } = task;
  const inputs = ['q', 'k', 'v', 'dout'].map(name => place(jax, readFloats(task, name), [B, T, H, D]));
  const compiled = jax.jit((q, k, v, dout) => {
    const [out, gradient] = jax.vjp((q, k, v) => jax.nn.dotProductAttention(q, k, v, { isCausal: true }), [q, k, v]);
    const gradients = gradient(dout);
    gradient.dispose();
    return [out, ...gradients];
  });
  const arrays = compiled(...inputs.map(input => input.ref));
  const [out, dq, dk, dv] = await Promise.all(arrays.map(array => array.data()));
  return { results: { out, dq, dk, dv }, ...repeated(jax, compiled, inputs) };
}

/** p, m, v after an update by gradient g; corrections are 1/(1 - β^step). */
function update({ numpy: np }, { p, m, v, g }, settings, { rate, correction1, correction2 }, decay) {
  const { beta1, beta2, eps, weightDecay } = settings;
  const mean = m.mul(beta1).add(g.ref.mul(1 - beta1));
  const variance = v.mul(beta2).add(np.square(g).mul(1 - beta2));
  const change = mean.ref.mul(correction1).div(np.sqrt(variance.ref.mul(correction2)).add(eps));
  const kept = decay ? p.ref.sub(p.mul(rate.ref).mul(weightDecay)) : p;
  return { p: kept.sub(change.mul(rate)), m: mean, v: variance };
}

async function adamw(jax, task) {
  const { settings, count } = task;
  const [g, ...start] = ['gradient', 'parameter', 'm', 'v'].map(name => place(jax, readFloats(task, name), [count]));
  const schedule = ({ lr, beta1, beta2, step }) => [lr, 1 / (1 - beta1 ** step), 1 / (1 - beta2 ** step)];
  const [rate, correction1, correction2] = schedule(settings);
  const compiled = jax.jit((p, m, v, g, rate) => {
    const after = update(jax, { p, m, v, g }, settings, { rate, correction1, correction2 }, true);
    return [after.p, after.m, after.v];
  });
  let state = start;
  const one = () => {
    state = compiled(...state, g.ref, rate);
  };
  one();
  const [parameter, m, v] = await Promise.all(state.map(array => array.ref.data()));
  return {
    results: { parameter, m, v },
    async run(times) {
      for (let i = 0; i < times; i++) one();
      await jax.blockUntilReady(state);
    },
    dispose() {
      for (const array of [...state, g]) array.dispose();
      compiled.dispose();
    },
  };
}

/** Mean cross-entropy of a LLaMA. Takes ownership of its arguments, as every function of jax-js does. */
function lossOf(jax, task, weights, ids, targets, tables) {
  const { numpy: np, nn } = jax;
  const { B, T, model } = task;
  const { hiddenSize: C, numAttentionHeads: H, headDim: D, vocabSize: V, rmsNormEps } = model;
  const take = name => weights[`${name}.weight`];
  const linear = (x, name) => np.matmul(x, take(name).transpose());
  const norm = (x, name) => {
    const scale = np.sqrt(np.square(x.ref).mean(-1, { keepdims: true }).add(rmsNormEps));
    return x.div(scale).mul(take(name));
  };
  const rotate = x => {
    const [first, second] = np.split(x.reshape([B, T, H, D]), 2, -1);
    const table = name => tables[name].ref.reshape([1, T, 1, D / 2]);
    const left = first.ref.mul(table('cos')).sub(second.ref.mul(table('sin')));
    const right = second.mul(table('cos')).add(first.mul(table('sin')));
    return np.concatenate([left, right], -1);
  };

  let x = np.matmul(nn.oneHot(ids, V), take('model.embed_tokens'));
  for (let layer = 0; layer < model.numHiddenLayers; layer++) {
    const prefix = `model.layers.${layer}.`;
    const n1 = norm(x.ref, `${prefix}input_layernorm`);
    const q = rotate(linear(n1.ref, `${prefix}self_attn.q_proj`));
    const k = rotate(linear(n1.ref, `${prefix}self_attn.k_proj`));
    const v = linear(n1, `${prefix}self_attn.v_proj`).reshape([B, T, H, D]);
    const mixed = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([B * T, C]);
    x = x.add(linear(mixed, `${prefix}self_attn.o_proj`));
    const n2 = norm(x.ref, `${prefix}post_attention_layernorm`);
    const gate = nn.silu(linear(n2.ref, `${prefix}mlp.gate_proj`));
    const up = linear(n2, `${prefix}mlp.up_proj`);
    x = x.add(linear(gate.mul(up), `${prefix}mlp.down_proj`));
  }
  const logits = linear(norm(x, 'model.norm'), 'lm_head');
  return nn
    .logSoftmax(logits, -1)
    .mul(nn.oneHot(targets, V))
    .sum()
    .mul(-1 / (B * T));
}

async function step(jax, task) {
  const { numpy: np } = jax;
  const { settings, parameters } = task;
  const peak = startPeak();
  const zeros = () => Object.fromEntries(parameters.map(({ name, shape }) => [name, np.zeros(shape)]));
  const weights = parameters.map(({ name, shape }) => [name, place(jax, readFloats(task, name), shape)]);
  let state = { p: Object.fromEntries(weights), m: zeros(), v: zeros() };
  const tables = rotaryTables(task);
  const half = task.model.headDim / 2;
  const tableArrays = { cos: place(jax, tables.cos, [task.T, half]), sin: place(jax, tables.sin, [task.T, half]) };

  const compiled = jax.jit((state, ids, targets, cos, sin, rate, correction1, correction2) => {
    const [loss, gradients] = jax.valueAndGrad(p => lossOf(jax, task, p, ids, targets, { cos, sin }))(
      jax.tree.ref(state.p),
    );
    const norm = np.sqrt(parameters.map(({ name }) => np.square(gradients[name].ref).sum()).reduce((a, b) => a.add(b)));
    const factor = np.minimum(1, np.array(settings.clip).div(norm));
    const after = { p: {}, m: {}, v: {} };
    for (const { name, decay } of parameters) {
      const g = gradients[name].mul(factor.ref);
      const given = { p: state.p[name], m: state.m[name], v: state.v[name], g };
      const schedule = { rate: rate.ref, correction1: correction1.ref, correction2: correction2.ref };
      const updated = update(jax, given, settings, schedule, decay);
      for (const key of ['p', 'm', 'v']) after[key][name] = updated[key];
    }
    return [loss, after];
  });
  const batches = readBatches(task).map(({ ids, targets }) => ({ ids: np.array(ids), targets: np.array(targets) }));
  let made = 0;
  const one = async ({ ids, targets }) => {
    made++;
    const corrections = [1 / (1 - settings.beta1 ** made), 1 / (1 - settings.beta2 ** made)];
    const [loss, after] = compiled(
      state,
      ids.ref,
      targets.ref,
      tableArrays.cos.ref,
      tableArrays.sin.ref,
      settings.lr,
      ...corrections,
    );
    state = after;
    return (await loss.data())[0];
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
    dispose() {
      jax.tree.dispose(state);
      for (const { ids, targets } of batches) jax.tree.dispose([ids, targets]);
      jax.tree.dispose(tableArrays);
      compiled.dispose();
    },
  };
}
