/** A run's configuration as a commented YAML file, which `--config` takes back to the same run. */
import { stringify } from 'yaml';
import { configFields, defaultOf, type FieldName, MODEL_FIELDS, type RunConfig } from '../run/config.js';
import { CPT_FIELDS, grouped } from './field-flags.js';

/**
 * Returns the file's text: the fields that have a value, with their words beside them, and those that are left to a
 * default that model and data decide, as comments. `from` is the checkpoint of a CPT run.
 */
export function configText(config: RunConfig, from: string | undefined): string {
  const others: readonly FieldName[] = from === undefined ? CPT_FIELDS : MODEL_FIELDS;
  const isShown = (field: FieldName) => !others.includes(field) || config[field] !== defaultOf(field);
  const fields = (Object.keys(configFields) as FieldName[]).filter(isShown);
  const groups = [...grouped(fields)].map(([group, members]) =>
    [`# ${group}`, ...members.flatMap(field => linesOf(field, config[field]))].join('\n'),
  );
  const command = from === undefined ? 'train' : `cpt --from ${from}`;
  const head =
    `# Start with: babelgrad ${command} --config FILE\n` +
    '# Fields behind a # have the default that their words name; to give one a value, remove its first #.';
  return `${[head, ...groups].join('\n\n')}\n`;
}

function linesOf(field: FieldName, value: unknown): string[] {
  const words = `# ${configFields[field].description}`;
  if (value === undefined) return [`# ${field}:  ${words}`];
  if (field !== 'sources') return [`${field}: ${inline(value)}  ${words}`];
  return [`${field}:  ${words}`, ...(value as readonly unknown[]).map(source => `  - ${inline(source)}`)];
}

/** Returns a value as YAML of one line. */
const inline = (value: unknown): string =>
  stringify(value, { collectionStyle: 'flow', lineWidth: 0, blockQuote: false, singleQuote: false }).trimEnd();
