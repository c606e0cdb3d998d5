/** The families of models that can be computed: what each has beside LLaMA, whose layers have none of it. */
import { UserError } from '../errors.js';

/** What sets families apart; left out, each is false. */
export interface Traits {
  readonly qkvBias?: boolean | undefined;
  readonly qkNorm?: boolean | undefined;
  readonly fusedProjections?: boolean | undefined;
}
const TRAITS = ['qkvBias', 'qkNorm', 'fusedProjections'] as const satisfies (keyof Traits)[];

export type Family = 'llama' | 'qwen2' | 'qwen3' | 'phi3';
/** The families by model_type in Hugging Face's config.json; a Mistral is of LLaMA's. */
const FAMILIES: Readonly<Record<Family, { readonly name: string; readonly traits: Traits }>> = {
  llama: { name: 'LLaMA', traits: {} },
  qwen2: { name: 'Qwen2', traits: { qkvBias: true } },
  qwen3: { name: 'Qwen3', traits: { qkNorm: true } },
  phi3: { name: 'Phi-3', traits: { fusedProjections: true } },
};

export const traitsOf = (family: Family): Traits => FAMILIES[family].traits;

/** Returns the family that has exactly these traits. @throws UserError when none has. */
export function familyOf(given: Traits): Family {
  const isSame = (traits: Traits) => TRAITS.every(trait => (traits[trait] ?? false) === (given[trait] ?? false));
  const found = Object.entries(FAMILIES).find(([, { traits }]) => isSame(traits));
  if (found) return found[0] as Family;
  const shown = (traits: Traits) => TRAITS.filter(trait => traits[trait]).join(' and ');
  const [, ...known] = Object.values(FAMILIES);
  throw new UserError(
    `model: ${shown(given)} are set together, as in no family of models that is known; there are ` +
      known.map(({ name, traits }) => `${shown(traits)} (${name})`).join(', '),
  );
}
