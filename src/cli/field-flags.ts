/** Flags for the fields of a run's configuration, in kebab case. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UserError } from '../errors.js';
import { PROJECTIONS } from '../model/lora.js';
import { configFields, defaultOf, type FieldName, MODEL_FIELDS } from '../run/config.js';
import { inWords } from '../schema.js';

export const kebab = (name: string): string => name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);

/** The fields of a run that describe its model and its step. */
export const STEP_FIELDS: readonly FieldName[] = [
  ...MODEL_FIELDS,
  'contextLength',
  'batchTokens',
  'microBatch',
  'documentMask',
  'checkpointing',
  'precision',
  'momentType',
  'gradientStorage',
  'weightType',
  'offload',
  'lora',
];

/** The fields that only a run with a source model has. */
export const CPT_FIELDS: readonly FieldName[] = ['optimizerState', 'dataOrder', 'freezeBodyTokens', 'lora'];

/** The fields by what they are about. Those that stand nowhere here come last. */
export const FIELD_GROUPS: Readonly<Record<string, readonly FieldName[]>> = {
  'Needed, in the file or as flags:': ['out', 'sources'],
  'Model:': MODEL_FIELDS,
  'Data:': ['name', 'heldOut', 'documentMask', 'dataSeed', 'dataOrder'],
  'Budget and batch:': ['tokens', 'tokensPerParameter', 'epochs', 'contextLength', 'batchTokens', 'microBatch'],
  'Learning rate:': [
    'learningRate',
    'schedule',
    'warmup',
    'minLearningRateRatio',
    'decay',
    'cooldown',
    'constantLearningRateRatio',
    'cooldownShape',
    'annealShape',
  ],
  'Optimizer:': [
    'momentType',
    'gradientStorage',
    'weightType',
    'offload',
    'optimizerState',
    'freezeBodyTokens',
    'parameterGroups',
    'lora',
    'emaDecay',
    'beta1',
    'beta2',
    'eps',
    'weightDecay',
    'clip',
    'maxSkippedSteps',
    'spikeFactor',
  ],
  'Computing:': ['adapter', 'memory', 'precision', 'checkpointing', 'tuneSeconds', 'deterministic', 'seed'],
  'Several ranks:': ['parallel', 'syncEvery', 'outerLearningRate', 'outerMomentum', 'gradientType'],
};
const LAST_GROUP = 'Evaluations and checkpoints:';

/** Returns fields in the order of the groups, by group. */
export function grouped(fields: readonly FieldName[]): Map<string, FieldName[]> {
  const groupOf = (field: FieldName) =>
    Object.keys(FIELD_GROUPS).find(group => FIELD_GROUPS[group]!.includes(field)) ?? LAST_GROUP;
  const groups = [...Object.keys(FIELD_GROUPS), LAST_GROUP].map(
    group => [group, fields.filter(field => groupOf(field) === group)] as const,
  );
  return new Map(groups.filter(([, members]) => members.length > 0).map(([group, members]) => [group, [...members]]));
}

/** What a field's values are, whether or not it may be left out. */
function valuesOf(field: FieldName) {
  const { def } = configFields[field];
  return def.type === 'optional' ? def.innerType.def : def;
}
const typeOf = (field: FieldName): string => valuesOf(field).type;

/** Adds flags for fields of the configuration. Those in `hidden` are taken, so as to be refused in words, not shown. */
export function addFieldOptions(
  command: Command,
  fields: readonly FieldName[],
  hidden: readonly FieldName[] = [],
): void {
  for (const [group, members] of grouped(fields)) {
    for (const field of members) {
      const options = field === 'lora' ? loraOptions() : [fieldOption(field)];
      for (const option of options) command.addOption(option.helpGroup(group).hideHelp(hidden.includes(field)));
    }
  }
}

function fieldOption(field: FieldName): Option {
  const schema = configFields[field];
  const standard = defaultOf(field);
  const description = `${schema.description}${standard === undefined ? '' : ` (default ${standard})`}`;
  if (field === 'sources') {
    const option = new Option('--source <name=folder[@weight]>', `${description}; repeat for a mixture`);
    return option.argParser(collect(parseSource));
  }
  if (field === 'heldOut') {
    return new Option('--held-out <language=folder>', `${description}; repeat`).argParser(collect(parsePair));
  }
  if (field === 'parameterGroups') {
    const example = '*norm*:weightDecay=0,from=40% or model.layers.0.*:frozen';
    const option = new Option('--parameter-group <names:settings>', `${description}; repeat; as in ${example}`);
    return option.argParser(collect(parseParameterGroup));
  }
  const type = typeOf(field);
  const option = new Option(`--${kebab(field)} ${type === 'boolean' ? '[value]' : '<value>'}`, description);
  if (type === 'number') option.argParser(parseNumber);
  if (type === 'boolean') option.choices(['true', 'false']).preset('true');
  if (type === 'union') option.argParser(text => (/^\d+$/.test(text) ? Number(text) : text));
  const values = valuesOf(field);
  if (values.type === 'enum') option.choices(Object.values<string>(values.entries));
  return option;
}

/** The flags of adapters, one for each of their settings. */
const loraOptions = (): Option[] => [
  new Option('--lora-rank <value>', configFields.lora.description).argParser(parseNumber),
  new Option('--lora-alpha <value>', 'lora: B·A is added times alpha / rank (default: twice the rank)').argParser(
    parseNumber,
  ),
  new Option(
    '--lora-targets <names>',
    `lora: the projections with an adapter, with commas between (default: ${PROJECTIONS.join(', ')})`,
  ).argParser(text => text.split(',')),
];

/** Makes a parser of a flag's value into one of a flag that is repeated. */
export const collect =
  <Value>(parse: (text: string) => Value) =>
  (text: string, earlier: Value[] | undefined): Value[] => [...(earlier ?? []), parse(text)];

function parseNumber(text: string): number {
  const value = Number(text.replaceAll('_', ''));
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

function parsePair(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('It must be name=folder.');
  return [text.slice(0, at), text.slice(at + 1)];
}

/** A token folder as a flag names it. */
export interface SourceFlag {
  readonly name: string;
  readonly path: string;
  readonly weight?: number;
}

/** Parses `name=folder` or `name=folder@weight`. @throws InvalidArgumentError saying what is wrong. */
export function parseSource(text: string): SourceFlag {
  const [name, rest] = parsePair(text);
  const weighted = /^(.+)@([^@/]+)$/.exec(rest);
  if (!weighted) return { name, path: rest };
  const weight = parseNumber(weighted[2]!);
  if (weight <= 0) throw new InvalidArgumentError('Its weight must be above 0.');
  return { name, path: weighted[1]!, weight };
}

/**
 * Parses `name,name:setting=value,setting` of a group of parameters, such as `*norm*:weightDecay=0.1,from=40%`. What
 * settings there are is checked with the configuration.
 * @throws InvalidArgumentError saying what is wrong.
 */
export function parseParameterGroup(text: string): Record<string, unknown> {
  const parts = /^([^:]+):([^:]+)$/.exec(text);
  if (!parts) throw new InvalidArgumentError('It must be names:settings, such as *norm*:weightDecay=0,from=40%.');
  const settings = parts[2]!.split(',').map(setting => {
    const [name, value] = setting.split('=') as [string, string?];
    if (value === undefined || value === 'true') return [name, true];
    if (value.endsWith('%')) return [name, value];
    const number = Number(value.replaceAll('_', ''));
    if (value === '' || !Number.isFinite(number)) {
      throw new InvalidArgumentError(`Its ${name} is '${value}': no number, and no share such as 40%.`);
    }
    return [name, number];
  });
  return { match: parts[1]!.split(','), ...Object.fromEntries(settings) };
}

/** Returns fields with flags over them; those of adapters are parts of one field. @throws UserError as `readFlags`. */
export function withFlags(fields: Record<string, unknown>, given: Record<string, unknown>): Record<string, unknown> {
  const { loraRank: rank, loraAlpha: alpha, loraTargets: targets, ...flags } = given;
  readFlags(flags);
  const lora = Object.entries({ rank, alpha, targets }).filter(([, value]) => value !== undefined);
  const joined = lora.length > 0 && { lora: { ...Object(fields.lora), ...Object.fromEntries(lora) } };
  return { ...fields, ...flags, ...joined };
}

/** Checks flags of fields, apart from the file's; those that are true or false come as text. */
function readFlags(flags: Record<string, unknown>): void {
  for (const [field, schema] of Object.entries(configFields)) {
    const given = flags[field];
    if (given === undefined) continue;
    if (typeOf(field as FieldName) === 'boolean') flags[field] = given === 'true';
    const issue = schema.safeParse(flags[field], inWords).error?.issues[0];
    if (issue) throw new UserError(`option --${kebab(field)} is ${JSON.stringify(given)}: ${issue.message}`);
  }
}
