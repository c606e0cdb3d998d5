/** The families of models that can be computed: what each has beside LLaMA, whose layers have none of it. */
import { UserError } from '../errors.js';
import type { QkNormOver } from '../ops/head-norm.js';

/** What an RMSNorm of queries and keys goes over: each head, or the whole projection. */
export const QK_NORM_OVER = ['head', 'projection'] as const satisfies readonly QkNormOver[];

/** Where a branch of the residual stream, attention or MLP, is normed: before it, or behind it. */
export const NORM_PLACEMENTS = ['before', 'after'] as const;

/** What sets families apart. */
export interface Traits {
  readonly qkvBias?: boolean | undefined;
  readonly qkNorm?: boolean | undefined;
  readonly qkNormOver?: QkNormOver | undefined;
  readonly normPlacement?: (typeof NORM_PLACEMENTS)[number] | undefined;
  readonly fusedProjections?: boolean | undefined;
}
/** What they are where they are left out, as in a LLaMA. */
const DEFAULTS = {
  qkvBias: false,
  qkNorm: false,
  qkNormOver: 'head',
  normPlacement: 'before',
  fusedProjections: false,
} as const satisfies Traits;
const TRAITS = Object.keys(DEFAULTS) as readonly (keyof typeof DEFAULTS)[];
const traitOf = (traits: Traits, trait: keyof typeof DEFAULTS) => traits[trait] ?? DEFAULTS[trait];

export type Family = 'llama' | 'qwen2' | 'qwen3' | 'olmo2' | 'phi3';
/** The families by model_type in Hugging Face's config.json; a Mistral is of LLaMA's. */
const FAMILIES: Readonly<Record<Family, { readonly name: string; readonly traits: Traits }>> = {
  llama: { name: 'LLaMA', traits: {} },
  qwen2: { name: 'Qwen2', traits: { qkvBias: true } },
  qwen3: { name: 'Qwen3', traits: { qkNorm: true } },
  olmo2: { name: 'OLMo 2', traits: { qkNorm: true, qkNormOver: 'projection', normPlacement: 'after' } },
  phi3: { name: 'Phi-3', traits: { fusedProjections: true } },
};

export const traitsOf = (family: Family): Traits => FAMILIES[family].traits;

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
    `model: ${shown(given)} together make no family of models that is known; known are ` +
      known.map(({ name, traits }) => `${shown(traits)} (${name})`).join('; '),
  );
}
