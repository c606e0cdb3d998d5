/** The shape of a LLaMA-architecture model, what is refused of it, and the window of each layer. */
import { z } from 'zod';
import { UserError } from '../errors.js';
import { ACTIVATIONS } from '../kernels/swiglu.js';
import type { RopeScaling } from '../ops/rope.js';
import { inWords } from '../schema.js';
import { checkFamilyFields, familyOf, NORM_PLACEMENTS, QK_NORM_OVER } from './families.js';

const WHOLE = { error: 'must be a positive whole number' };
const POSITIVE = { error: 'must be a positive number' };
const whole = z.int(WHOLE).positive(WHOLE);
const positive = z.number(POSITIVE).positive(POSITIVE);
const CAP = { error: 'must be a number from 0.001 to 1000000' };
const cap = z.number(CAP).min(0.001, CAP).max(1e6, CAP);
const flag = z.boolean({ error: 'must be true or false' });

const ropeScaling = z.discriminatedUnion('type', [
  z.object({ type: z.literal('linear'), factor: positive }),
  z.object({
    type: z.literal('llama3'),
    factor: positive,
    lowFreqFactor: positive,
    highFreqFactor: positive,
    originalMaxPositionEmbeddings: positive,
  }),
]) satisfies z.ZodType<RopeScaling>;

/**
 * The fields of a model. Each is declared here alone: types, flags with their help, and what run.yaml and the record of
 * a run hold follow from it. The names are those of Hugging Face's config.json, in camel case.
 */
export const modelSchema = z.object({
  vocabSize: whole.describe("entries of the embedding (default: the tokenizer's)"),
  hiddenSize: whole.describe('width of the residual stream'),
  /** Width of the SwiGLU MLP (one of its matrices, not gate and up together). */
  intermediateSize: whole.describe('width of the SwiGLU MLP'),
  numHiddenLayers: whole.describe('layers'),
  numAttentionHeads: whole.describe('query heads'),
  numKeyValueHeads: whole.describe('key/value heads (default: as many as query heads)'),
  /** Size of one attention head; usually hiddenSize / numAttentionHeads. */
  headDim: whole.describe('size of a head (default: hiddenSize / numAttentionHeads)'),
  rmsNormEps: positive.describe('eps of RMSNorm (default 1e-5)'),
  ropeTheta: positive.describe('base of the rotary embedding (default 10000)'),
  ropeScaling: ropeScaling.optional(),
  tieWordEmbeddings: flag.describe('one matrix for embedding and head (default true)'),
  maxPositionEmbeddings: whole,
  /** How many of the newest tokens each one attends to, itself among them (Mistral, Gemma 2 and 3). Default all. */
  slidingWindow: whole.optional().describe('tokens that each one attends to, the newest (default all)'),
  /** Each layer of this number attends to all tokens, those between within the window (Gemma 2 and 3). Default none. */
  slidingWindowPattern: whole
    .optional()
    .describe(
      'each layer of this number attends to all tokens, as in Gemma 2 and 3 (default: none, where there is a window)',
    ),
  /** The base of the rotary embedding in layers within the window (Gemma 3), which is not scaled. */
  ropeLocalBaseFreq: positive
    .optional()
    .describe('base of the rotary embedding in layers within the window of a Gemma 3'),
  /** What scores are divided by the root of (Gemma 2 and 3). Default headDim. */
  queryPreAttnScalar: positive
    .optional()
    .describe('what scores are divided by the root of, in a Gemma 2 or 3 (default headDim)'),
  /** What scores, and logits, are capped at: cap · tanh(x / cap) (Gemma 2). Default: they are not. */
  attnLogitSoftcapping: cap
    .optional()
    .describe('soft cap of attention scores, 50 in a published Gemma 2 (default none)'),
  finalLogitSoftcapping: cap.optional().describe('soft cap of logits, 30 in a published Gemma 2 (default none)'),
  /** Each layer of this number is without rotary embedding (NoPE, in SmolLM3). Default: none is. */
  nopeLayerInterval: whole
    .optional()
    .describe('each layer of this number is without rotary embedding, as in SmolLM3 (default: none is)'),
  /** Whether the projections to Q, K and V have biases (Qwen2); that of the output has none. Default false. */
  qkvBias: flag.optional().describe('biases of the projections to Q, K and V, as Qwen2 has them (default false)'),
  /** Whether each head of Q and of K passes an RMSNorm of its own before it is rotated (Qwen3). Default false. */
  qkNorm: flag.optional().describe('RMSNorm over each head of Q and K, as Qwen3 has it (default false)'),
  qkNormOver: z
    .enum(QK_NORM_OVER)
    .optional()
    .describe('qkNorm: over each head, or over the whole projection, as OLMo 2 has it (default head)'),
  normPlacement: z
    .enum(NORM_PLACEMENTS)
    .optional()
    .describe('RMSNorm before attention and MLP, after them (OLMo 2), or both (Gemma 2 and 3) (default before)'),
  /** Whether norms multiply by 1 + weight, so that a weight of 0 is a norm alone (Gemma). Default false. */
  normUnitOffset: flag.optional().describe('RMSNorm by 1 + weight, as Gemma has it (default false)'),
  hiddenAct: z.enum(ACTIVATIONS).optional().describe('what the gate of the MLP passes; GELU in Gemma (default silu)'),
  scaledEmbeddings: flag
    .optional()
    .describe('embeddings times the root of hiddenSize, as Gemma has them (default false)'),
  /** Whether Q, K and V are one matrix, and gate and up another, by name (Phi-3). Default false. */
  fusedProjections: flag.optional(),
});
export type ModelConfig = Readonly<z.infer<typeof modelSchema>>;

/** Checks a configuration, and returns it. @throws UserError naming the field and what it must be. */
export function validateModelConfig(config: ModelConfig): ModelConfig {
  const [issue] = modelSchema.safeParse(config, inWords).error?.issues ?? [];
  if (issue) {
    const value = issue.path.reduce<unknown>((within, key) => (within as Record<PropertyKey, unknown>)[key], config);
    throw new UserError(`model: ${issue.path.join('.')} is ${value}; it ${issue.message}`);
  }
  checkSizes(config);
  const { numAttentionHeads, numKeyValueHeads, headDim } = config;
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    throw new UserError(
      `model: numAttentionHeads ${numAttentionHeads} is not a multiple of numKeyValueHeads ${numKeyValueHeads}`,
    );
  }
  if (headDim % 2 !== 0) throw new UserError(`model: the head size ${headDim} is odd; rotary embedding needs pairs`);
  const family = familyOf(config);
  const { ropeScaling: scaling } = config;
  if (scaling && family === 'phi3') {
    throw new UserError(`model: ropeScaling is of type ${scaling.type}, which a Phi-3 (fusedProjections) cannot have`);
  }
  checkFamilyFields(config);
  if (scaling?.type === 'llama3' && scaling.highFreqFactor <= scaling.lowFreqFactor) {
    throw new UserError(
      `model: ropeScaling.highFreqFactor ${scaling.highFreqFactor} is not above lowFreqFactor ${scaling.lowFreqFactor}`,
    );
  }
  return config;
}

/** The most layers. Lists of tensors are made of them; published models have some hundreds at most. */
const MOST_LAYERS = 10_000;
/** The most entries of a vocabulary: ids are u32. */
const MOST_ENTRIES = 2 ** 32;

/**
 * Refuses what no file and no device could hold, before a list is made: bytes are counted exactly up to 2^53.
 * @throws UserError naming the field, or the size of the whole.
 */
function checkSizes(config: ModelConfig): void {
  const { numHiddenLayers: layers, vocabSize, hiddenSize: C, intermediateSize: F, headDim } = config;
  const most = (field: keyof ModelConfig, bound: number) => {
    const value = Number(config[field]);
    if (value > bound) throw new UserError(`model: ${field} is ${value}; it must be at most ${bound}`);
  };
  most('numHiddenLayers', MOST_LAYERS);
  most('vocabSize', MOST_ENTRIES);
  const heads = 2 * (config.numAttentionHeads + config.numKeyValueHeads);
  const parameters = 2 * vocabSize * C + layers * C * (heads * headDim + 3 * F);
  const bytes = 4 * (parameters + config.maxPositionEmbeddings * headDim);
  if (bytes <= Number.MAX_SAFE_INTEGER) return;
  throw new UserError(
    `model: weights and positions would take about ${bytes.toPrecision(3)} bytes, which nothing can hold; check ` +
      'vocabSize, hiddenSize, intermediateSize, numHiddenLayers, the heads and their size, maxPositionEmbeddings',
  );
}

/** Whether a layer attends within the sliding window alone, while others attend to all. */
export const isLocal = (
  { slidingWindowPattern: pattern }: Pick<ModelConfig, 'slidingWindowPattern'>,
  layer: number,
): boolean => pattern !== undefined && (layer + 1) % pattern !== 0;

/** Whether queries and keys of a layer are rotated by position. */
export const isRotated = (
  { nopeLayerInterval: interval }: Pick<ModelConfig, 'nopeLayerInterval'>,
  layer: number,
): boolean => interval === undefined || (layer + 1) % interval !== 0;
/** Whether a layer is rotated by a base of its own: in a Gemma 3 those within the window. */
export const isRotatedApart = (config: ModelConfig, layer: number): boolean =>
  config.ropeLocalBaseFreq !== undefined && isLocal(config, layer);

/** Returns how many of the newest tokens each one attends to in a layer; undefined: all. */
export const windowOf = (config: ModelConfig, layer: number): number | undefined =>
  config.slidingWindowPattern === undefined || isLocal(config, layer) ? config.slidingWindow : undefined;
