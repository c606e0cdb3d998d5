/** The architectures of Hugging Face's config.json: those that can be read, and what others have that cannot be. */
import type { Family } from '../model/families.js';
import { ownValue } from '../own.js';
import { refuse } from './hf-json.js';

/** An architecture, with transformers' defaults for what its config.json leaves out. */
export interface Architecture {
  readonly name: string;
  readonly family: Family;
  readonly positions: number;
  /** The default number of key/value heads; if there is none, as many as query heads. */
  readonly keyValueHeads?: number;
  /** The default of `sliding_window`, null where there is no window; undefined where there is no such field. */
  readonly slidingWindow?: number | null;
  /** Whether `sliding_window` holds only where `use_sliding_window` is set, and then for some layers alone. */
  readonly switchesWindow?: boolean;
  /** The default size of a head; if there is none, hidden_size over the query heads. */
  readonly headDim?: number;
  /** The default of `rms_norm_eps`, where it is not 1e-6. */
  readonly rmsNormEps?: number;
  /** The default of `rope_theta`, where it is not 10000. */
  readonly ropeTheta?: number;
  /** The default of `tie_word_embeddings`, where it is not false. */
  readonly tied?: boolean;
}

const QWEN = { positions: 32768, keyValueHeads: 32, slidingWindow: 4096, switchesWindow: true };
/** The architectures by model_type. */
const ARCHITECTURES = {
  llama: { name: 'LlamaForCausalLM', family: 'llama', positions: 2048 },
  mistral: {
    name: 'MistralForCausalLM',
    family: 'llama',
    positions: 131072,
    keyValueHeads: 8,
    slidingWindow: 4096,
  },
  qwen2: { name: 'Qwen2ForCausalLM', family: 'qwen2', ...QWEN },
  qwen3: { name: 'Qwen3ForCausalLM', family: 'qwen3', ...QWEN, headDim: 128 },
  olmo2: { name: 'Olmo2ForCausalLM', family: 'olmo2', positions: 2048, rmsNormEps: 1e-5 },
  phi3: { name: 'Phi3ForCausalLM', family: 'phi3', positions: 4096, slidingWindow: null, rmsNormEps: 1e-5 },
  smollm3: {
    name: 'SmolLM3ForCausalLM',
    family: 'llama',
    positions: 32768,
    keyValueHeads: 4,
    slidingWindow: null,
    switchesWindow: true,
    ropeTheta: 2_000_000,
    tied: true,
  },
  gemma: { name: 'GemmaForCausalLM', family: 'gemma', positions: 8192, keyValueHeads: 16, headDim: 256, tied: true },
  gemma2: { name: 'Gemma2ForCausalLM', family: 'gemma2', positions: 8192, keyValueHeads: 4, headDim: 256, tied: true },
  gemma3_text: {
    name: 'Gemma3ForCausalLM',
    family: 'gemma3',
    positions: 131072,
    keyValueHeads: 4,
    headDim: 256,
    ropeTheta: 1_000_000,
    tied: true,
  },
} as const satisfies Record<string, Architecture>;
export type ModelType = keyof typeof ARCHITECTURES;

/** What other architectures have and these lack, with their types. */
const LACKING: readonly (readonly [what: string, types: readonly string[]])[] = [
  ['learned positions, LayerNorm and MLPs without a gate', ['gpt2', 'gpt_neo', 'gpt_bigcode', 'opt', 'xglm']],
  ['LayerNorm, attention beside the MLP and MLPs without a gate', ['gpt_neox', 'gptj', 'codegen', 'phi', 'falcon']],
  ['ALiBi positions, LayerNorm and MLPs without a gate', ['bloom', 'mpt']],
  ['LayerNorm and partial rotation', ['stablelm', 'persimmon']],
  ['LayerNorm and MLPs without a gate', ['starcoder2']],
  ['LayerNorm and attention beside the MLP', ['cohere', 'cohere2']],
  ['LayerNorm without weights', ['olmo']],
  ['pictures beside text (its text model alone, of type gemma3_text, can be read)', ['gemma3']],
  ['several streams, and embeddings of layers', ['gemma3n', 'gemma3n_text']],
  ['layers with a sliding window among others', ['olmo3', 'ministral']],
  ['layers within a window, and others without rotary embedding', ['exaone4']],
  ['partial and interleaved rotation', ['glm', 'glm4']],
  ['multipliers of embeddings, scores, residuals and logits', ['granite', 'minicpm']],
  ['block-sparse attention', ['phi3small']],
  [
    'mixtures of experts',
    [
      ...['mixtral', 'qwen2_moe', 'qwen3_moe', 'olmoe', 'phimoe', 'granitemoe', 'dbrx', 'gpt_oss', 'llama4'],
      ...['llama4_text', 'glm4_moe', 'jetmoe', 'deepseek'],
    ],
  ],
  ['latent attention and mixtures of experts', ['deepseek_v2', 'deepseek_v3', 'kimi_k2']],
  ['layers without attention', ['mamba', 'mamba2', 'falcon_mamba', 'rwkv', 'jamba', 'recurrent_gemma', 'qwen3_next']],
];

export const architectureOf = (modelType: ModelType): Architecture => ARCHITECTURES[modelType];

/** Returns the architecture that a config.json names. @throws UserError by what it has that cannot be computed. */
export function readArchitecture(
  path: string,
  { model_type: modelType, architectures }: Record<string, unknown>,
): Architecture {
  const expected = typeof modelType === 'string' ? ownValue<Architecture>(ARCHITECTURES, modelType) : undefined;
  if (!expected) {
    const [lacking] = LACKING.find(([, types]) => types.some(type => type === modelType)) ?? [];
    const known = `the types that can be read are ${Object.keys(ARCHITECTURES).join(', ')}`;
    return refuse(path, 'model_type', modelType, lacking ? `${lacking} are not supported; ${known}` : known);
  }
  if (architectures !== undefined && !(Array.isArray(architectures) && architectures.includes(expected.name))) {
    refuse(path, 'architectures', architectures, `'${modelType as string}' is read as ${expected.name}`);
  }
  return expected;
}
