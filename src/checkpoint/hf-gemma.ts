/** What the config.json of a Gemma has beside a LLaMA's: GELU; of a Gemma 3, layers within a window as well. */
import { z } from 'zod';
import { isLocal, type ModelConfig } from '../model/config.js';
import type { Family } from '../model/families.js';
import { parse, refuse } from './hf-json.js';

const count = z.int().positive();
const positive = z.number().positive();
const LAYER_TYPES = ['sliding_attention', 'full_attention'] as const;

/** transformers' defaults of what is left out. */
const WINDOW = 4096;
const PATTERN = 6;
const LOCAL_BASE = 10_000;
/** The default of query_pre_attn_scalar and of head_dim. */
const DIM = 256;

const GEMMAS = ['gemma', 'gemma3'] as const satisfies readonly Family[];
type Gemma = (typeof GEMMAS)[number];
export const isGemma = (family: Family): family is Gemma => GEMMAS.some(gemma => gemma === family);

const gemmaSchema = z.looseObject({
  /** Files of the first Gemma say `gelu`, and mean the approximation that they were trained with. */
  hidden_act: z.enum(['gelu', 'gelu_pytorch_tanh']).nullish(),
  hidden_activation: z.literal('gelu_pytorch_tanh').nullish(),
  use_bidirectional_attention: z.literal(false).nullish(),
});

const layersSchema = z.looseObject({
  attn_logit_softcapping: z.null().optional(),
  final_logit_softcapping: z.null().optional(),
  num_hidden_layers: count,
  head_dim: count.nullish(),
  query_pre_attn_scalar: positive.default(DIM),
  sliding_window: count.nullish(),
  sliding_window_pattern: count.nullish(),
  /** The same field as transformers saved it for a time. */
  _sliding_window_pattern: count.nullish(),
  layer_types: z.array(z.enum(LAYER_TYPES)).nullish(),
  rope_local_base_freq: positive.nullish(),
  /** The field of transformers 5: by type of layer. */
  rope_parameters: z
    .object({
      full_attention: z.looseObject({}),
      sliding_attention: z
        .object({ rope_type: z.literal('default').optional(), rope_theta: positive.optional() })
        .optional(),
    })
    .nullish(),
});
type LayersConfig = z.infer<typeof layersSchema>;

type LocalFields = Pick<
  ModelConfig,
  'slidingWindow' | 'slidingWindowPattern' | 'ropeLocalBaseFreq' | 'queryPreAttnScalar'
>;

/**
 * Reads the fields that are Gemma's, and returns them beside the file's others, in the form that these have elsewhere.
 * @throws UserError naming the field with its value when it is mistyped or not supported.
 */
export function readGemma(
  path: string,
  family: Gemma,
  json: Record<string, unknown>,
): { readonly fields: LocalFields; readonly others: Record<string, unknown> } {
  parse(path, gemmaSchema, json);
  const { hidden_act: _, ...others } = json;
  return family === 'gemma' ? { fields: {}, others } : readLayers(path, others);
}

function readLayers(path: string, json: Record<string, unknown>): ReturnType<typeof readGemma> {
  const c = parse(path, layersSchema, json);
  const pattern = patternOf(path, c);
  const hasLocal = Array.from({ length: c.num_hidden_layers }).some((_, i) =>
    isLocal({ slidingWindowPattern: pattern }, i),
  );
  if (hasLocal && c.sliding_window === null) {
    refuse(path, 'sliding_window', null, 'there are layers of type sliding_attention, which have one');
  }
  const { layer_types: _, sliding_window: __, ...rest } = json;
  return {
    fields: {
      ...(c.query_pre_attn_scalar !== (c.head_dim ?? DIM) && { queryPreAttnScalar: c.query_pre_attn_scalar }),
      ...(hasLocal && {
        slidingWindow: c.sliding_window ?? WINDOW,
        slidingWindowPattern: pattern,
        ropeLocalBaseFreq: c.rope_parameters?.sliding_attention?.rope_theta ?? c.rope_local_base_freq ?? LOCAL_BASE,
      }),
    },
    others: c.rope_parameters ? { ...rest, rope_parameters: c.rope_parameters.full_attention } : rest,
  };
}

/** Returns the number of which each layer attends to all tokens. @throws UserError when the types follow none. */
function patternOf(path: string, c: LayersConfig): number {
  const given = c.sliding_window_pattern ?? c._sliding_window_pattern ?? PATTERN;
  const { layer_types: types, num_hidden_layers: layers } = c;
  if (!types) return given;
  if (types.length !== layers) {
    refuse(path, 'layer_types', types, `there are ${types.length} of them, and ${layers} layers`);
  }
  const first = types.indexOf('full_attention') + 1;
  const pattern = first > 0 ? first : Math.max(given, layers + 1);
  const other = layerTypes({ numHiddenLayers: layers, slidingWindowPattern: pattern }).findIndex(
    (type, i) => type !== types[i],
  );
  if (other < 0) return pattern;
  const why = `only every ${pattern}th layer can attend to all tokens where the first to do so is number ${pattern}`;
  return refuse(path, `layer_types.${other}`, types[other], why);
}

type Layers = Pick<ModelConfig, 'numHiddenLayers' | 'slidingWindowPattern'>;

const layerTypes = (c: Layers): (typeof LAYER_TYPES)[number][] =>
  Array.from({ length: c.numHiddenLayers }, (_, i) => (isLocal(c, i) ? 'sliding_attention' : 'full_attention'));

/** Returns the fields of a config.json that are Gemma's, as transformers 4 and llama.cpp's converter read them. */
export const gemmaConfig = (family: Gemma, c: ModelConfig): Record<string, unknown> => ({
  hidden_activation: c.hiddenAct,
  ...(family === 'gemma' ? { hidden_act: c.hiddenAct } : layersConfig(c)),
});

const layersConfig = (c: ModelConfig): Record<string, unknown> => ({
  query_pre_attn_scalar: c.queryPreAttnScalar ?? c.headDim,
  // transformers wants a number also where no layer has a window
  sliding_window: c.slidingWindow ?? WINDOW,
  sliding_window_pattern: c.slidingWindowPattern ?? 1,
  layer_types: layerTypes(c),
  rope_local_base_freq: c.ropeLocalBaseFreq ?? LOCAL_BASE,
  attn_logit_softcapping: null,
  final_logit_softcapping: null,
});
