/**
 * Makes a Hugging Face LLaMA folder of random weights, to try and measure import with a model of any size:
 *
 *   node tools/make-checkpoint.mjs OUT [--layers 30] [--hidden 576] [--intermediate 1536] [--heads 9] [--kv-heads 3]
 *     [--vocab 49152] [--dtype bf16|f16|f32] [--shard-size BYTES] [--untied] [--seed 0]
 *
 * The defaults are the shape of SmolLM-135M. Values are uniform with the deviation 0.02, norms 1; the same seed gives
 * the same bytes. Tensors are made and written a piece at a time. It uses the names of src/model/config.ts, and writes
 * the files by itself.
 */
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parameterSpecs } from '../dist/src/index.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    layers: { type: 'string', default: '30' },
    hidden: { type: 'string', default: '576' },
    intermediate: { type: 'string', default: '1536' },
    heads: { type: 'string', default: '9' },
    'kv-heads': { type: 'string', default: '3' },
    vocab: { type: 'string', default: '49152' },
    dtype: { type: 'string', default: 'bf16' },
    'shard-size': { type: 'string', default: 'Infinity' },
    untied: { type: 'boolean', default: false },
    seed: { type: 'string', default: '0' },
  },
});
const [out] = positionals;
if (!out) throw new Error('name the folder to be made');
const [hiddenSize, numAttentionHeads] = [Number(options.hidden), Number(options.heads)];
const config = {
  vocabSize: Number(options.vocab),
  hiddenSize,
  intermediateSize: Number(options.intermediate),
  numHiddenLayers: Number(options.layers),
  numAttentionHeads,
  numKeyValueHeads: Number(options['kv-heads']),
  headDim: hiddenSize / numAttentionHeads,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  tieWordEmbeddings: !options.untied,
  maxPositionEmbeddings: 2048,
};

/** From uniform f32 bits to what is stored; values are small and normal, so that halves need no special cases. */
const TYPES = {
  f32: { name: 'F32', torch: 'float32', array: Uint32Array, pack: bits => bits },
  bf16: { name: 'BF16', torch: 'bfloat16', array: Uint16Array, pack: bits => bits >>> 16 },
  f16: {
    name: 'F16',
    torch: 'float16',
    array: Uint16Array,
    pack: bits => ((bits >>> 16) & 0x8000) | (((bits & 0x7fffffff) >>> 13) - 0x1c000),
  },
};
const type = TYPES[options.dtype];
const width = type.array.BYTES_PER_ELEMENT;

let state = Number(options.seed) >>> 0;
/** mulberry32: 32 random bits. */
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return (t ^ (t >>> 14)) >>> 0;
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);
const spread = 0.02 * Math.sqrt(3); // of a uniform distribution with that deviation
const SMALLEST = 2 ** -14; // the smallest normal half
function nextBits() {
  const value = (random() / 2 ** 31 - 1) * spread;
  float[0] = Math.abs(value) < SMALLEST ? SMALLEST : value;
  return floatBits[0];
}
float[0] = 1;
const one = type.pack(floatBits[0]);

const sizeOf = shape => shape.reduce((a, b) => a * b, 1);
/** @type {import('../dist/src/index.js').ParameterSpec[][]} */
const shards = [[]];
let bytes = 0;
for (const spec of parameterSpecs(config)) {
  const size = width * sizeOf(spec.shape);
  if (bytes > 0 && bytes + size > Number(options['shard-size'])) {
    shards.push([]);
    bytes = 0;
  }
  shards[shards.length - 1].push(spec);
  bytes += size;
}

mkdirSync(out, { recursive: true });
const weightMap = {};
shards.forEach((specs, i) => {
  const number = n => String(n).padStart(5, '0');
  const file =
    shards.length === 1 ? 'model.safetensors' : `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
  /** @type {Record<string, object>} */
  const header = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const { name, shape } of specs) {
    const start = end;
    end += width * sizeOf(shape);
    header[name] = { dtype: type.name, shape, data_offsets: [start, end] };
    weightMap[name] = file;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const handle = openSync(join(out, file), 'w');
  writeSync(handle, length);
  writeSync(handle, text);
  const piece = new type.array(2 ** 20);
  for (const { shape } of specs) {
    const count = sizeOf(shape);
    for (let first = 0; first < count; first += piece.length) {
      const part = piece.subarray(0, Math.min(piece.length, count - first));
      if (shape.length === 1) part.fill(one);
      else for (let k = 0; k < part.length; k++) part[k] = type.pack(nextBits());
      writeSync(handle, new Uint8Array(part.buffer, 0, part.byteLength));
    }
  }
  closeSync(handle);
});
if (shards.length > 1) {
  const total = parameterSpecs(config).reduce((sum, { shape }) => sum + width * sizeOf(shape), 0);
  const index = { metadata: { total_size: total }, weight_map: weightMap };
  writeFileSync(join(out, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`);
}
const json = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_act: 'silu',
  vocab_size: config.vocabSize,
  hidden_size: hiddenSize,
  intermediate_size: config.intermediateSize,
  num_hidden_layers: config.numHiddenLayers,
  num_attention_heads: numAttentionHeads,
  num_key_value_heads: config.numKeyValueHeads,
  rms_norm_eps: config.rmsNormEps,
  rope_theta: config.ropeTheta,
  rope_scaling: null,
  tie_word_embeddings: config.tieWordEmbeddings,
  max_position_embeddings: config.maxPositionEmbeddings,
  bos_token_id: 0,
  eos_token_id: 0,
  torch_dtype: type.torch,
};
writeFileSync(join(out, 'config.json'), `${JSON.stringify(json, null, 2)}\n`);
