/**
 * The tables of docs/models.md: which public models train at which context in how much memory, by a dry run of a step.
 *
 *   node tools/what-fits.mjs [f32 | two-bytes | offload | lora]
 *
 * f32 (the default): weights and gradients in f32. two-bytes: weights in bf16, gradients in f16. offload: with these,
 * moments in host memory. lora: rank 16 of all projections.
 *
 * With precision f16, moments in 8 bits, checkpointing of layers and one sequence at a time. The adapter is a GPU as
 * Dawn describes an NVIDIA of 2021; others differ in the last percent. A GB is 10^9 bytes.
 */

import { traitsOf } from '../dist/src/model/families.js';
import { modelConfig } from '../dist/src/model/fields.js';
import { PROJECTIONS } from '../dist/src/model/lora.js';
import { countParameters } from '../dist/src/model/parameters.js';
import { stepMemory } from '../dist/src/run/memory.js';

const GEMMA_2 = {
  ...{ ...traitsOf('gemma2'), slidingWindow: 4096, slidingWindowPattern: 2 },
  ...{ attnLogitSoftcapping: 50, finalLogitSoftcapping: 30 },
};
const GEMMA_3 = {
  ...{ ...traitsOf('gemma3'), slidingWindow: 512, slidingWindowPattern: 6, ropeLocalBaseFreq: 10_000 },
};

/**
 * [hidden, intermediate, layers, heads, key and value heads, head size, vocabulary, positions], and what differs.
 * @type {Record<string, [number[], object?]>}
 */
const MODELS = {
  'SmolLM2-135M': [[576, 1536, 30, 9, 3, 64, 49_152, 8192]],
  'SmolLM2-360M': [[960, 2560, 32, 15, 5, 64, 49_152, 8192]],
  'Qwen3-0.6B': [[1024, 3072, 28, 16, 8, 128, 151_936, 32_768], { qkNorm: true }],
  'Gemma-3-1B': [[1152, 6912, 26, 4, 1, 256, 262_144, 32_768], GEMMA_3],
  'TinyLlama-1.1B': [[2048, 5632, 22, 32, 4, 64, 32_000, 2048], { tieWordEmbeddings: false }],
  'Llama-3.2-1B': [[2048, 8192, 16, 32, 8, 64, 128_256, 131_072]],
  'SmolLM2-1.7B': [[2048, 8192, 24, 32, 32, 64, 49_152, 8192]],
  'Qwen3-1.7B': [[2048, 6144, 28, 16, 8, 128, 151_936, 32_768], { qkNorm: true }],
  'Gemma-2-2B': [[2304, 9216, 26, 8, 4, 256, 256_000, 8192], GEMMA_2],
  'SmolLM3-3B': [[2048, 11_008, 36, 16, 4, 128, 128_256, 65_536], { nopeLayerInterval: 4 }],
  'Llama-3.2-3B': [[3072, 8192, 28, 24, 8, 128, 128_256, 131_072]],
  'Qwen3-4B': [[2560, 9728, 36, 32, 8, 128, 151_936, 32_768], { qkNorm: true }],
  'Mistral-7B-v0.3': [[4096, 14_336, 32, 32, 8, 128, 32_768, 32_768], { tieWordEmbeddings: false }],
};
const KEPT = /** @type {const} */ (['f32', 'two-bytes', 'offload', 'lora']);
/** @typedef {(typeof KEPT)[number]} Kept */
const GIGABYTES = [8, 12, 16, 24, 48, 80];
const CONTEXTS = [512, 1024, 2048, 4096, 8192, 16_384, 32_768];
const optimizer = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };

/** @type {import('../dist/src/gpu/adapters.js').AdapterDescription} */
const adapter = {
  number: 1,
  name: 'a GPU',
  vendor: 'nvidia',
  architecture: 'ampere',
  driver: '',
  kind: 'hardware',
  subgroupSizes: [32],
  subgroupMatrices: [{ operand: 'f16', result: 'f32', M: 16, N: 16, K: 16 }],
  features: ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'],
  limits: {
    maxBufferSize: 2 ** 31,
    maxStorageBufferBindingSize: 2 ** 31 - 4,
    maxStorageBuffersPerShaderStage: 16,
    maxComputeWorkgroupStorageSize: 49_152,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
    maxComputeWorkgroupSizeY: 1024,
    maxComputeWorkgroupSizeZ: 64,
    maxComputeWorkgroupsPerDimension: 65_535,
    minStorageBufferOffsetAlignment: 256,
    minUniformBufferOffsetAlignment: 256,
  },
};

/** @param {[number[], object?]} shape */
function configOf([sizes, others]) {
  const names = ['hiddenSize', 'intermediateSize', 'numHiddenLayers', 'numAttentionHeads', 'numKeyValueHeads'];
  const fields = [...names, 'headDim', 'vocabSize', 'maxPositionEmbeddings'];
  return modelConfig({ ...Object.fromEntries(fields.map((name, i) => [name, sizes[i]])), ...others });
}

/**
 * The bytes of training at a context; infinite where the adapter would refuse it.
 * @param {import('../dist/src/model/config.js').ModelConfig} model
 * @param {Kept} kept
 * @param {number} T
 */
function peakOf(model, kept, T) {
  const lora = { rank: 16, alpha: 32, targets: [...PROJECTIONS] };
  /** @type {Partial<import('../dist/src/train/dry-step.js').StepShape>} */
  const weights = kept === 'lora' ? { lora, matrixType: 'f16' } : { weightType: kept === 'f32' ? 'f32' : 'bf16' };
  /** @type {Partial<import('../dist/src/train/traced-step.js').TrainerSettings>} */
  const others = {
    gradientStorage: kept === 'two-bytes' || kept === 'offload' ? 'f16' : 'f32',
    offload: kept === 'offload' ? 'moments' : 'none',
  };
  /** @type {import('../dist/src/train/traced-step.js').TrainerSettings} */
  const settings = { B: 1, T, microBatches: 2, optimizer, checkpointing: 'layer', momentType: '8bit', ...others };
  const { peak, refusals } = stepMemory(adapter, { model, settings, precision: 'f16', ...weights });
  return refusals.length > 0 ? Number.POSITIVE_INFINITY : peak;
}

/**
 * The longest context that each memory has room for, by bisection: a longer one takes more.
 * @param {import('../dist/src/model/config.js').ModelConfig} model
 * @param {Kept} kept
 */
function longestContexts(model, kept) {
  const contexts = CONTEXTS.filter(T => T <= model.maxPositionEmbeddings);
  /** @type {Map<number, number>} */
  const peaks = new Map();
  let fitting = -1;
  return GIGABYTES.map(size => {
    let beyond = contexts.length;
    while (beyond - fitting > 1) {
      const middle = Math.floor((fitting + beyond) / 2);
      const peak = peaks.get(middle) ?? peakOf(model, kept, contexts[middle]);
      peaks.set(middle, peak);
      if (peak <= 1e9 * size) fitting = middle;
      else beyond = middle;
    }
    return contexts[fitting] ?? '–';
  });
}

const given = process.argv[2] ?? 'f32';
const kept = KEPT.find(one => one === given);
if (!kept) {
  console.error(`no way to keep a model is '${given}'; usage: node tools/what-fits.mjs [${KEPT.join(' | ')}]`);
  process.exit(2);
}
const row = cells => `| ${cells.join(' | ')} |`;
console.log(row(['model', 'parameters', ...GIGABYTES.map(size => `${size} GB`)]));
console.log(row(['---', '---', ...GIGABYTES.map(() => '---')]).replaceAll(' ', ''));
for (const [name, shape] of Object.entries(MODELS)) {
  const model = configOf(shape);
  const cells = longestContexts(model, kept);
  const { total } = countParameters(model);
  console.log(row([name, total < 999.5e6 ? `${Math.round(total / 1e6)}M` : `${(total / 1e9).toFixed(2)}B`, ...cells]));
}
