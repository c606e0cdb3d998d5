/** Writes a model folder as GGUF, the format of llama.cpp and of what builds on it. */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readDocumentMarks } from '../data/document-marks.js';
import { parseTokenizerFile } from '../data/tokenizer-file.js';
import { UserError } from '../errors.js';
import { writeFolderWhole } from '../files.js';
import { readText } from '../input-files.js';
import type { ModelConfig } from '../model/config.js';
import { type Family, familyName, familyOf } from '../model/families.js';
import { type ParameterSpec, parameterSpecs } from '../model/parameters.js';
import { ropeFrequencies } from '../ops/rope.js';
import { readChatTemplate } from './chat-template.js';
import { converted, type ExportOptions, narrowed } from './export.js';
import { ggufName } from './gguf-name.js';
import { type GgufTokenizer, ggufTokenizer } from './gguf-tokenizer.js';
import { bytesOfTensor, type GgufTensor, type GgufValue, writeGguf } from './gguf-write.js';
import { readTokenIds } from './hf-config.js';
import { checkNewFolder, type WrittenModel } from './model-copy.js';
import { openModel } from './model-folder.js';
import type { ModelWeights } from './weight-files.js';
import type { WeightType } from './weight-types.js';
import { checkModelFiles } from './whole.js';

/** The file in the folder that is written. */
const FILE = 'model.gguf';

/** The numbers of what most of a file's tensors are stored in. */
const FILE_TYPES: Readonly<Record<WeightType, number>> = { F32: 0, F16: 1, BF16: 32 };

const NAMES: Readonly<Record<string, string>> = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.qkv_proj': 'attn_qkv',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  post_attention_layernorm: 'ffn_norm',
  pre_feedforward_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.gate_up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};
/** The names of norms that stand behind attention and MLP. */
const NAMES_AFTER: typeof NAMES = {
  post_attention_layernorm: 'post_attention_norm',
  post_feedforward_layernorm: 'post_ffw_norm',
};

/** The architectures of which llama.cpp takes the embedding for the head, whatever there is. */
const ALWAYS_TIED: ReadonlySet<Family> = new Set<Family>(['gemma', 'gemma2']);

/** The architectures whose heads are together as wide as the model. */
const FULL_WIDTH: ReadonlySet<Family> = new Set<Family>(['qwen2', 'olmo2', 'phi3']);

/**
 * Writes the model of `from` to a new folder `out` that appears whole, as model.gguf with its tokenizer. Matrices have
 * the type; norms and biases are f32, as llama.cpp wants them.
 * @throws UserError when the folder `from` cannot be loaded, `out` holds something, a value is too large for the type,
 * or GGUF cannot say what the model or its tokenizer does.
 */
export async function exportGguf(from: string, out: string, options: ExportOptions): Promise<WrittenModel> {
  checkNewFolder(out);
  const { verify = true, onNote, card, type, onProgress } = options;
  const verified = verify ? await checkModelFiles(from) : [];
  const { config, weights, notes } = openModel(from);
  try {
    for (const note of [...verified, ...notes]) onNote?.(note);
    const tokenizer = tokenizerOf(from, config);
    for (const note of tokenizer.notes) onNote?.(note);
    const template = readChatTemplate(from);
    const values = new Map([
      ...modelValues(config, ggufName(basename(out), tokenizer.isPhi3), type),
      ...tokenizer.values,
      ...(template === undefined ? [] : [['tokenizer.chat_template', { string: template }] as const]),
    ]);
    const tensors = tensorsOf(config, weights, type);
    const total = tensors.reduce((sum, tensor) => sum + bytesOfTensor(tensor), 0);
    let done = 0;
    const told = tensors.map(tensor => ({
      ...tensor,
      *read() {
        for (const bits of tensor.read()) {
          yield bits;
          done += bits.byteLength;
          onProgress?.(done, total);
        }
      },
    }));
    await writeFolderWhole(out, folder => {
      if (card !== undefined) folder.write('README.md', card);
      writeGguf(folder.create(FILE), values, told);
    });
    return { weights: [FILE], bytes: total };
  } finally {
    weights.close();
  }
}

/** The layers by which llama.cpp knows the 27B, whose scores it divides by the root of the width of a head's share. */
const LARGEST = { gemma2: 46, gemma3: 62 } as const;
type LayeredGemma = keyof typeof LARGEST;
const isLayeredGemma = (name: string): name is LayeredGemma => name in LARGEST;

/** @throws UserError when llama.cpp would compute something else of a Gemma 2 or a Gemma 3. */
function checkGemma(family: LayeredGemma, config: ModelConfig): void {
  const { headDim, hiddenSize, numAttentionHeads, numHiddenLayers, queryPreAttnScalar = headDim } = config;
  const name = familyName(family);
  const foreign = (what: string) => new UserError(`llama.cpp ${what}; use --format hf`);
  if (family === 'gemma3' && config.slidingWindow === undefined) {
    throw foreign(`takes a ${name} without a sliding window for one with soft caps`);
  }
  if (family === 'gemma2') {
    const { attnLogitSoftcapping, finalLogitSoftcapping } = config;
    if (attnLogitSoftcapping === undefined || finalLogitSoftcapping === undefined) {
      throw foreign(`caps scores and logits of every ${name}, and here one of the caps is missing`);
    }
  }
  const scalar = numHiddenLayers === LARGEST[family] ? Math.floor(hiddenSize / numAttentionHeads) : headDim;
  if (queryPreAttnScalar === scalar) return;
  throw foreign(
    `divides the scores of a ${name} of ${numHiddenLayers} layers by the root of ${scalar}, and here ` +
      `queryPreAttnScalar is ${queryPreAttnScalar}`,
  );
}

/** The keys of what a Gemma 2 or a Gemma 3 has beside the others. */
function gemmaValues(family: LayeredGemma, config: ModelConfig): Record<string, GgufValue> {
  const { maxPositionEmbeddings, slidingWindow = maxPositionEmbeddings, slidingWindowPattern } = config;
  return {
    'attention.sliding_window': { u32: slidingWindow }, // of a Gemma 2 without one a window of all positions
    ...(slidingWindowPattern !== undefined && { 'attention.sliding_window_pattern': { u32: slidingWindowPattern } }),
    ...(family === 'gemma3' && { 'rope.freq_base_swa': { f32: config.ropeLocalBaseFreq! } }),
    ...(family === 'gemma2' && {
      attn_logit_softcapping: { f32: config.attnLogitSoftcapping! },
      final_logit_softcapping: { f32: config.finalLogitSoftcapping! },
    }),
  };
}

/** The number that llama.cpp has for a SmolLM3: each layer of it is without rotary embedding. */
const NOPE_INTERVAL = 4;

/** Returns llama.cpp's name of what a model computes. @throws UserError when it would compute something else. */
function architectureOf(config: ModelConfig): Family | 'smollm3' {
  const family = familyOf(config);
  if (isLayeredGemma(family)) checkGemma(family, config);
  const { nopeLayerInterval: interval } = config;
  if (interval === undefined) return family;
  if (interval === NOPE_INTERVAL) return 'smollm3';
  throw new UserError(
    `llama.cpp leaves each ${NOPE_INTERVAL}th layer of a SmolLM3 without rotary embedding, and here ` +
      `nopeLayerInterval is ${interval}; use --format hf`,
  );
}

function modelValues(config: ModelConfig, name: string, type: WeightType): Map<string, GgufValue> {
  const architecture = architectureOf(config);
  const { ropeScaling: scaling, headDim, maxPositionEmbeddings: positions, slidingWindow: window = Infinity } = config;
  if (scaling?.type === 'llama3' && architecture !== 'llama') {
    throw new UserError(
      `llama.cpp scales a rotation by llama3 in a llama alone, and this is a ${architecture}; use --format hf`,
    );
  }
  const own: Record<string, GgufValue> = {
    // attention is full there, which is the same within the window, but in a Gemma 2 and a Gemma 3
    context_length: { u32: isLayeredGemma(architecture) ? positions : Math.min(positions, window) },
    embedding_length: { u32: config.hiddenSize },
    block_count: { u32: config.numHiddenLayers },
    feed_forward_length: { u32: config.intermediateSize },
    'attention.head_count': { u32: config.numAttentionHeads },
    'attention.head_count_kv': { u32: config.numKeyValueHeads },
    'attention.key_length': { u32: headDim },
    'attention.value_length': { u32: headDim },
    'attention.layer_norm_rms_epsilon': { f32: config.rmsNormEps },
    'rope.freq_base': { f32: config.ropeTheta },
    'rope.dimension_count': { u32: headDim },
    vocab_size: { u32: config.vocabSize },
    ...(architecture === 'phi3' && {
      'rope.scaling.original_context_length': { u32: config.maxPositionEmbeddings },
      'attention.sliding_window': { u32: config.slidingWindow ?? 0 }, // 0: none
    }),
    ...(isLayeredGemma(architecture) && gemmaValues(architecture, config)),
    ...(scaling?.type === 'linear' && {
      'rope.scaling.type': { string: 'linear' },
      'rope.scaling.factor': { f32: scaling.factor },
    }),
  };
  return new Map<string, GgufValue>([
    ['general.architecture', { string: architecture }],
    ['general.name', { string: name }],
    ['general.file_type', { u32: FILE_TYPES[type] }],
    ...Object.entries(own).map(([key, value]) => [`${architecture}.${key}`, value] as const),
  ]);
}

function tokenizerOf(from: string, { vocabSize }: ModelConfig): GgufTokenizer {
  const path = join(from, 'tokenizer.json');
  if (!existsSync(path)) throw new UserError(`'${from}' has no tokenizer.json, which a GGUF file has in it`);
  const file = parseTokenizerFile(readText(path), path);
  return ggufTokenizer(file, readDocumentMarks(path), readTokenIds(from), vocabSize);
}

function tensorsOf(config: ModelConfig, weights: ModelWeights, type: WeightType): GgufTensor[] {
  const family = familyOf(config);
  const isLlama = family === 'llama';
  const { numAttentionHeads, numKeyValueHeads, headDim, hiddenSize } = config;
  if (FULL_WIDTH.has(family) && numAttentionHeads * headDim !== hiddenSize) {
    throw new UserError(
      `llama.cpp wants numAttentionHeads*headDim of a ${family} to be hiddenSize, and here ${numAttentionHeads}*` +
        `${headDim} is not ${hiddenSize}; use --format hf`,
    );
  }
  if (ALWAYS_TIED.has(family) && !config.tieWordEmbeddings) {
    throw new UserError(
      `llama.cpp takes the embedding of a ${family} for its head, and here tieWordEmbeddings is false; use --format hf`,
    );
  }
  const tensors = parameterSpecs(config).map((spec): GgufTensor => {
    const { name, shape } = spec;
    const heads = name.endsWith('q_proj.weight') ? numAttentionHeads : numKeyValueHeads;
    const isPermuted = isLlama && /[qk]_proj\.weight$/.test(name);
    const stored = shape.length === 1 ? 'F32' : type;
    const made = () => {
      if (isPermuted) return byPairs(weights.read(spec), heads, headDim);
      return weights.read(spec).map(value => 1 + value);
    };
    const isMade = isPermuted || (config.normUnitOffset && shape.length === 1);
    const read = isMade ? () => [narrowed(weights.path, spec, stored, made())] : () => converted(weights, spec, stored);
    return { name: tensorName(spec, config), shape, type: stored, read };
  });
  // llama.cpp takes the embedding for a head that is not there, but not of an OLMo 2
  const embedding = tensors.find(({ name }) => name === `${NAMES['model.embed_tokens']}.weight`);
  if (family === 'olmo2' && config.tieWordEmbeddings) tensors.push({ ...embedding!, name: 'output.weight' });
  if (config.ropeScaling?.type !== 'llama3') return tensors;
  const factors = Float32Array.from(scalingFactors(config));
  const read = () => [new Uint32Array(factors.buffer)];
  return [{ name: 'rope_freqs.weight', shape: [factors.length], type: 'F32', read }, ...tensors];
}

/** Returns what each frequency of the rotary embedding is divided by. */
function scalingFactors({ headDim, ropeTheta, ropeScaling }: ModelConfig): Float64Array {
  const scaled = ropeFrequencies(headDim, ropeTheta, ropeScaling);
  return ropeFrequencies(headDim, ropeTheta).map((frequency, i) => frequency / scaled[i]!);
}

function tensorName({ name }: ParameterSpec, { normPlacement }: ModelConfig): string {
  const [, layer, place, kind] = /^(?:model\.layers\.(\d+)\.)?(.*)\.(weight|bias)$/.exec(name)!;
  const hasAfter = normPlacement === 'after' || normPlacement === 'both';
  const names = hasAfter ? { ...NAMES, ...NAMES_AFTER } : NAMES;
  const known = `${names[place!]}.${kind}`;
  return layer === undefined ? known : `blk.${layer}.${known}`;
}

/**
 * Returns the rows of each head in the order in which llama.cpp rotates them for this architecture: neighbours are a
 * pair, and not a row and the one half a head further on.
 */
function byPairs(values: Float32Array, heads: number, headDim: number): Float32Array {
  const columns = values.length / (heads * headDim);
  const ordered = new Float32Array(values.length);
  for (let row = 0; row < heads * headDim; row++) {
    const within = row % headDim;
    const from = row - within + (within % 2) * (headDim / 2) + Math.floor(within / 2);
    ordered.set(values.subarray(from * columns, (from + 1) * columns), row * columns);
  }
  return ordered;
}
