/**
 * How parameters are trained that are not all trained alike: rules that match their names give a learning rate, a
 * decay, and what is frozen, for good or at first.
 */
import { UserError } from '../errors.js';
import type { ModelConfig } from '../model/config.js';
import { adapterGroups, type LoraSettings } from '../model/lora.js';
import { EMBEDDING, type ParameterGroup, parameterGroups, TOKEN_TENSORS } from '../model/parameters.js';

/** A rule for the parameters that its patterns match and no earlier rule does. */
export interface ParameterRule {
  /** Names as in a checkpoint; `*` stands for any characters: `model.layers.3.*`. */
  readonly match: readonly string[];
  /** A factor of the scheduled learning rate; 1 by default. */
  readonly learningRate?: number | undefined;
  /** The weight decay; by default that of the optimizer for matrices, and 0 for vectors. */
  readonly weightDecay?: number | undefined;
  /** Whether they keep their values: they have neither gradient nor moments. */
  readonly frozen?: boolean | undefined;
  /** The number of first steps in which they keep their values; 0 by default. */
  readonly frozenSteps?: number | undefined;
  /** The number of first rows that keep their values, of embedding and head alone; 0 by default. */
  readonly keptRows?: number | undefined;
}

/** How the parameters that are kept together as one matrix or vector are trained. */
export interface Treatment {
  readonly rate: number;
  readonly weightDecay: number;
  readonly frozen: boolean;
  readonly frozenSteps: number;
  /** The number of first elements that keep their values. */
  readonly kept: number;
}

export interface ParameterTreatment {
  readonly weightDecay: number;
  readonly parameterGroups?: readonly ParameterRule[] | undefined;
  /** The number of first steps in which only the embedding and an untied head are trained. */
  readonly frozenSteps?: number | undefined;
  /** The adapters beside a model, which alone are trained then. */
  readonly lora?: LoraSettings | undefined;
}

/**
 * Returns how each group of a model's parameters is trained, by its name.
 * @throws UserError when a pattern matches nothing, a rule does not fit what it matches, or everything is frozen.
 */
export function treatmentsOf(config: ModelConfig, given: ParameterTreatment): ReadonlyMap<string, Treatment> {
  const groups = parameterGroups(config);
  if (given.lora) return ofAdapters(groups, adapterGroups(config, given.lora), given);
  const rules = rulesOf(config, given);
  checkMatches(rules, groups);
  const treatments = new Map(groups.map(group => [group.name, treatmentOf(group, rules, given.weightDecay)]));
  if ([...treatments.values()].every(({ frozen }) => frozen)) {
    throw new UserError('parameterGroups freeze every parameter: nothing is left to be trained');
  }
  return treatments;
}

/** Returns the treatments where adapters alone are trained. @throws UserError when there are rules besides. */
function ofAdapters(
  base: readonly ParameterGroup[],
  adapters: readonly ParameterGroup[],
  { weightDecay, parameterGroups: rules = [], frozenSteps = 0 }: ParameterTreatment,
): ReadonlyMap<string, Treatment> {
  if (rules.length > 0 || frozenSteps > 0) {
    throw new UserError(
      'lora freezes the base and trains its adapters all alike: leave out parameterGroups and freezeBodyTokens',
    );
  }
  const treatment = { rate: 1, weightDecay, frozen: false, frozenSteps: 0, kept: 0 };
  const of = (groups: readonly ParameterGroup[], frozen: boolean) =>
    groups.map(({ name }) => [name, { ...treatment, frozen }] as const);
  return new Map([...of(base, true), ...of(adapters, false)]);
}

/** Returns the rules. @throws UserError when there are two kinds of them. */
function rulesOf(
  { tieWordEmbeddings }: ModelConfig,
  { parameterGroups: rules = [], frozenSteps = 0 }: ParameterTreatment,
): readonly ParameterRule[] {
  if (frozenSteps === 0) return rules;
  if (rules.length > 0) {
    throw new UserError(
      'parameterGroups and a frozen body both say what is frozen at first; leave out freezeBodyTokens (frozenSteps), ' +
        'and give the body a group with from (frozenSteps)',
    );
  }
  return [{ match: tieWordEmbeddings ? [EMBEDDING] : TOKEN_TENSORS }, { match: ['*'], frozenSteps }];
}

function checkMatches(rules: readonly ParameterRule[], groups: readonly ParameterGroup[]): void {
  const names = groups.flatMap(({ parts }) => parts.map(({ name }) => name));
  for (const pattern of rules.flatMap(({ match }) => match)) {
    if (names.some(name => matches(pattern, name))) continue;
    throw new UserError(
      `parameterGroups: '${pattern}' matches no parameter; the names are ${showNames(names)}` +
        (pattern === 'lm_head.weight' ? ' (the head is tied: it is the embedding)' : ''),
    );
  }
}

function treatmentOf(group: ParameterGroup, rules: readonly ParameterRule[], weightDecay: number): Treatment {
  const found = group.parts.map(({ name }) => rules.find(({ match }) => match.some(pattern => matches(pattern, name))));
  const [rule] = found;
  const other = found.findIndex(each => each !== rule);
  if (other > 0) {
    throw new UserError(
      `parameterGroups: '${group.parts[0]!.name}' and '${group.parts[other]!.name}' stand in one matrix on the ` +
        'device, and are trained alike: match Q, K and V together, and gate and up together',
    );
  }
  const { learningRate = 1, frozen = false, frozenSteps = 0, keptRows = 0 } = rule ?? {};
  const [rows, columns = 1] = group.shape as [number, number?];
  if (keptRows > 0 && !TOKEN_TENSORS.includes(group.name)) {
    throw new UserError(`parameterGroups: newRows are those of embedding and head; '${group.name}' has none`);
  }
  if (keptRows >= rows) {
    throw new UserError(`parameterGroups: new rows from ${keptRows} on, and '${group.name}' has ${rows} rows`);
  }
  return {
    rate: learningRate,
    weightDecay: rule?.weightDecay ?? (group.decay ? weightDecay : 0),
    frozen,
    frozenSteps,
    kept: keptRows * columns,
  };
}

/** Whether a pattern matches a whole name; `*` stands for any characters. */
function matches(pattern: string, name: string): boolean {
  const parts = pattern.split('*').map(part => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}

/** Names once for all layers, as in `model.layers.N.mlp.up_proj.weight`. */
const showNames = (names: readonly string[]): string =>
  [...new Set(names.map(name => name.replace(/^model\.layers\.\d+\./, 'model.layers.N.')))].join(', ');
