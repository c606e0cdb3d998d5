/** The families of models that can be computed: what each has beside LLaMA, whose layers have none of it. */
import { UserError } from '../errors.js';
import type { Activation } from '../kernels/swiglu.js';
import type { QkNormOver } from '../ops/head-norm.js';

/** What an RMSNorm of queries and keys goes over: each head, or the whole projection. */
export const QK_NORM_OVER = ['head', 'projection'] as const satisfies readonly QkNormOver[];

/** Where a branch of the residual stream, attention or MLP, is normed: before it, behind it, or both. */
export const NORM_PLACEMENTS = ['before', 'after', 'both'] as const;
export type NormPlacement = (typeof NORM_PLACEMENTS)[number];

/** The norms of a branch, by their names in a layer: of what goes into it, and of what it comes to. */
interface BranchNorms {
  readonly before?: string;
  readonly after?: string;
}
export const LAYER_NORMS: Readonly<Record<NormPlacement, Readonly<Record<'attention' | 'mlp', BranchNorms>>>> = {
  before: { attention: { before: 'input_layernorm' }, mlp: { before: 'post_attention_layernorm' } },
  after: { attention: { after: 'post_attention_layernorm' }, mlp: { after: 'post_feedforward_layernorm' } },
  both: {
    attention: { before: 'input_layernorm', after: 'post_attention_layernorm' },
    mlp: { before: 'pre_feedforward_layernorm', after: 'post_feedforward_layernorm' },
  },
};

/** What sets families apart. */
export interface Traits {
  readonly qkvBias?: boolean | undefined;
  readonly qkNorm?: boolean | undefined;
  readonly qkNormOver?: QkNormOver | undefined;
  readonly normPlacement?: NormPlacement | undefined;
  readonly fusedProjections?: boolean | undefined;
  readonly hiddenAct?: Activation | undefined;
  readonly normUnitOffset?: boolean | undefined;
  readonly scaledEmbeddings?: boolean | undefined;
}
/** What they are where they are left out, as in a LLaMA. */
const DEFAULTS = {
  qkvBias: false,
  qkNorm: false,
  qkNormOver: 'head',
  normPlacement: 'before',
  fusedProjections: false,
  hiddenAct: 'silu',
  normUnitOffset: false,
  scaledEmbeddings: false,
} as const satisfies Traits;
const TRAITS = Object.keys(DEFAULTS) as readonly (keyof typeof DEFAULTS)[];
const traitOf = (traits: Traits, trait: keyof typeof DEFAULTS) => traits[trait] ?? DEFAULTS[trait];

/** The fields of a model that some families alone may have. */
const WINDOW_FIELDS = ['slidingWindow', 'slidingWindowPattern', 'ropeLocalBaseFreq'] as const;
const FAMILY_FIELDS = [
  ...WINDOW_FIELDS,
  'queryPreAttnScalar',
  'attnLogitSoftcapping',
  'finalLogitSoftcapping',
  'nopeLayerInterval',
] as const;
type FamilyField = (typeof FAMILY_FIELDS)[number];

interface FamilyDescription {
  readonly name: string;
  readonly traits: Traits;
  readonly fields: readonly FamilyField[];
}

export type Family = 'llama' | 'qwen2' | 'qwen3' | 'olmo2' | 'phi3' | 'gemma' | 'gemma2' | 'gemma3';
const GEMMA: Traits = { normUnitOffset: true, hiddenAct: 'gelu_pytorch_tanh', scaledEmbeddings: true };
/** The families by model_type in Hugging Face's config.json; a Mistral and a SmolLM3 are of LLaMA's. */
const FAMILIES: Readonly<Record<Family, FamilyDescription>> = {
  llama: { name: 'LLaMA', traits: {}, fields: ['slidingWindow', 'nopeLayerInterval'] },
  qwen2: { name: 'Qwen2', traits: { qkvBias: true }, fields: [] },
  qwen3: { name: 'Qwen3', traits: { qkNorm: true }, fields: [] },
  olmo2: { name: 'OLMo 2', traits: { qkNorm: true, qkNormOver: 'projection', normPlacement: 'after' }, fields: [] },
  phi3: { name: 'Phi-3', traits: { fusedProjections: true }, fields: ['slidingWindow'] },
  gemma: { name: 'Gemma', traits: GEMMA, fields: [] },
  gemma2: {
    name: 'Gemma 2',
    traits: { ...GEMMA, normPlacement: 'both' },
    fields: [
      'slidingWindow',
      'slidingWindowPattern',
      'queryPreAttnScalar',
      'attnLogitSoftcapping',
      'finalLogitSoftcapping',
    ],
  },
  gemma3: {
    name: 'Gemma 3',
    traits: { ...GEMMA, qkNorm: true, normPlacement: 'both' },
    fields: [...WINDOW_FIELDS, 'queryPreAttnScalar'],
  },
};

export const traitsOf = (family: Family): Traits => FAMILIES[family].traits;
export const familyName = (family: Family): string => FAMILIES[family].name;

/** Returns the family that has exactly these traits. @throws UserError when none has. */
export function familyOf(given: Traits): Family {
  const isSame = (traits: Traits) => TRAITS.every(trait => traitOf(traits, trait) === traitOf(given, trait));
  const found = Object.entries(FAMILIES).find(([, { traits }]) => isSame(traits));
  if (found) return found[0] as Family;
  const shown = (traits: Traits) =>
    TRAITS.filter(trait => traitOf(traits, trait) !== DEFAULTS[trait])
      .map(trait => (traits[trait] === true ? trait : `${trait} ${traits[trait]}`))
      .join(', ');
  const [, ...known] = Object.values(FAMILIES);
  throw new UserError(
    `model: no family of models that is known has ${shown(given)} and no more of these; known are ` +
      known.map(({ name, traits }) => `${shown(traits)} (${name})`).join('; '),
  );
}

/** @throws UserError when a model has a field that its family does not have, or windows of some layers by half. */
export function checkFamilyFields(config: Traits & Readonly<Partial<Record<FamilyField, number | undefined>>>): void {
  const family = familyOf(config);
  const { fields } = FAMILIES[family];
  const foreign = FAMILY_FIELDS.find(field => config[field] !== undefined && !fields.includes(field));
  if (foreign) {
    throw new UserError(`model: ${foreign} is ${config[foreign]}, which a model of type ${family} does not have`);
  }
  if (config.nopeLayerInterval !== undefined && config.slidingWindow !== undefined) {
    const { nopeLayerInterval } = config;
    throw new UserError(
      `model: nopeLayerInterval is ${nopeLayerInterval}, which a model with a sliding window does not have`,
    );
  }
  if (!fields.includes('slidingWindowPattern')) return;
  const ofWindows = WINDOW_FIELDS.filter(field => fields.includes(field));
  const given = ofWindows.filter(field => config[field] !== undefined);
  if (given.length === 0 || given.length === ofWindows.length) return;
  throw new UserError(
    `model: ${ofWindows.slice(0, -1).join(', ')} and ${ofWindows.at(-1)} are given together or not at all: here they ` +
      `are ${ofWindows.map(field => config[field] ?? 'missing').join(', ')}`,
  );
}
