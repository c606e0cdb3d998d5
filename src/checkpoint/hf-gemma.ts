/**
 * What the config.json of a Gemma has beside a LLaMA's: GELU; of a Gemma 2 and a Gemma 3, layers within a window; soft
 * caps of the one, and a rotary embedding of these layers of the other.
 */
import { z } from 'zod';
import { isLocal, type ModelConfig } from '../model/config.js';
import type { Family } from '../model/families.js';
import { intervalOf, parse, refuse } from './hf-json.js';

const count = z.int().positive();
const positive = z.number().positive();
const LAYER_TYPES = ['sliding_attention', 'full_attention'] as const;

/** transformers' defaults of what is left out. */
const WINDOW = 4096;
const PATTERNS = { gemma2: 2, gemma3: 6 } as const;
const LOCAL_BASE = 10_000;
/** The default of query_pre_attn_scalar and of head_dim. */
const DIM = 256;

const GEMMAS = ['gemma', 'gemma2', 'gemma3'] as const satisfies readonly Family[];
type Gemma = (typeof GEMMAS)[number];
export const isGemma = (family: Family): family is Gemma => GEMMAS.some(gemma => gemma === family);

const gemmaSchema = z.looseObject({
  /** Files of the first Gemma say `gelu`, and mean the approximation that they were trained with. */
  hidden_act: z.enum(['gelu', 'gelu_pytorch_tanh']).nullish(),
  hidden_activation: z.literal('gelu_pytorch_tanh').nullish(),
  use_bidirectional_attention: z.literal(false).nullish(),
});

const layersSchema = z.looseObject({
  num_hidden_layers: count,
  head_dim: count.nullish(),
  query_pre_attn_scalar: positive.default(DIM),
  sliding_window: count.nullish(),
  sliding_window_pattern: count.nullish(),
  /** The same field as transformers saved it for a time. */
  _sliding_window_pattern: count.nullish(),
  layer_types: z.array(z.enum(LAYER_TYPES)).nullish(),
});
type LayersConfig = z.infer<typeof layersSchema>;

const capsSchema = z.looseObject({
  attn_logit_softcapping: positive.nullable().default(50),
  final_logit_softcapping: positive.nullable().default(30),
});

const rotationSchema = z.looseObject({
  attn_logit_softcapping: z.null().optional(),
  final_logit_softcapping: z.null().optional(),
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

type LayerFields = Pick<ModelConfig, 'slidingWindow' | 'slidingWindowPattern' | 'queryPreAttnScalar'>;
type OwnFields = LayerFields &
  Pick<ModelConfig, 'ropeLocalBaseFreq' | 'attnLogitSoftcapping' | 'finalLogitSoftcapping'>;

interface GemmaParts {
  readonly fields: OwnFields;
  readonly others: Record<string, unknown>;
}

/**
 * Reads the fields that are Gemma's, and returns them beside the file's others, in the form that these have elsewhere.
 * @throws UserError naming the field with its value when it is mistyped or not supported.
 */
export function readGemma(path: string, family: Gemma, json: Record<string, unknown>): GemmaParts {
  parse(path, gemmaSchema, json);
  const { hidden_act: _, layer_types: types, sliding_window: window, ...rest } = json;
  // a window of the first Gemma is refused with those of other families that have none
  if (family === 'gemma') return { fields: {}, others: { ...rest, layer_types: types, sliding_window: window } };
  const layers = readLayers(path, parse(path, layersSchema, json), PATTERNS[family]);
  if (family === 'gemma2') {
    const { attn_logit_softcapping: ofScores, final_logit_softcapping: ofLogits } = parse(path, capsSchema, json);
    const caps = {
      ...(ofScores !== null && { attnLogitSoftcapping: ofScores }),
      ...(ofLogits !== null && { finalLogitSoftcapping: ofLogits }),
    };
    return { fields: { ...layers, ...caps }, others: rest };
  }
  const c = parse(path, rotationSchema, json);
  const base = c.rope_parameters?.sliding_attention?.rope_theta ?? c.rope_local_base_freq ?? LOCAL_BASE;
  return {
    fields: { ...layers, ...(layers.slidingWindow !== undefined && { ropeLocalBaseFreq: base }) },
    others: c.rope_parameters ? { ...rest, rope_parameters: c.rope_parameters.full_attention } : rest,
  };
}

function readLayers(path: string, c: LayersConfig, usual: number): LayerFields {
  const pattern = patternOf(path, c, usual);
  const hasLocal = Array.from({ length: c.num_hidden_layers }).some((_, i) =>
    isLocal({ slidingWindowPattern: pattern }, i),
  );
  if (hasLocal && c.sliding_window === null) {
    refuse(path, 'sliding_window', null, 'there are layers of type sliding_attention, which have one');
  }
  return {
    ...(c.query_pre_attn_scalar !== (c.head_dim ?? DIM) && { queryPreAttnScalar: c.query_pre_attn_scalar }),
    ...(hasLocal && { slidingWindow: c.sliding_window ?? WINDOW, slidingWindowPattern: pattern }),
  };
}

/** Returns the number of which each layer attends to all tokens. @throws UserError when the types follow none. */
function patternOf(path: string, c: LayersConfig, usual: number): number {
  const given = c.sliding_window_pattern ?? c._sliding_window_pattern ?? usual;
  const { layer_types: types, num_hidden_layers: layers } = c;
  if (!types) return given;
  if (types.length !== layers) {
    refuse(path, 'layer_types', types, `there are ${types.length} of them, and ${layers} layers`);
  }
  const pattern = intervalOf(
    path,
    'layer_types',
    types,
    'full_attention',
    n => `only every ${n}th layer can attend to all tokens where the first to do so is number ${n}`,
  );
  return pattern ?? Math.max(given, layers + 1);
}

type Layers = Pick<ModelConfig, 'numHiddenLayers' | 'slidingWindowPattern'>;

const layerTypes = (c: Layers): (typeof LAYER_TYPES)[number][] =>
  Array.from({ length: c.numHiddenLayers }, (_, i) => (isLocal(c, i) ? 'sliding_attention' : 'full_attention'));

/** Returns the fields of a config.json that are Gemma's, as transformers 4 and llama.cpp's converter read them. */
export const gemmaConfig = (family: Gemma, c: ModelConfig): Record<string, unknown> => ({
  hidden_activation: c.hiddenAct,
  ...(family === 'gemma' ? { hidden_act: c.hiddenAct } : layersConfig(family, c)),
});

const layersConfig = (family: Exclude<Gemma, 'gemma'>, c: ModelConfig): Record<string, unknown> => ({
  query_pre_attn_scalar: c.queryPreAttnScalar ?? c.headDim,
  // transformers wants a number also where no layer has a window
  sliding_window: c.slidingWindow ?? WINDOW,
  layer_types: layerTypes(c),
  ...(family === 'gemma3' && {
    sliding_window_pattern: c.slidingWindowPattern ?? 1,
    rope_local_base_freq: c.ropeLocalBaseFreq ?? LOCAL_BASE,
  }),
  attn_logit_softcapping: c.attnLogitSoftcapping ?? null,
  final_logit_softcapping: c.finalLogitSoftcapping ?? null,
});
