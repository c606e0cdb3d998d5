/** The flags of a run that watches itself, and what is read from them. */
import type { Command } from 'commander';
import { HEALTH_LIMITS, type HealthLimits, type HealthOptions } from '../run/health.js';
import { kebab } from './field-flags.js';
import { positiveNumber, wholeNumber } from './numbers.js';

const optionOf = (prefix: string, name: string): string =>
  prefix ? `${prefix}${name[0]!.toUpperCase()}${name.slice(1)}` : name;

/** Adds a flag for every threshold: `--max-zeros` or, with a prefix, `--audit-max-zeros`. */
export function addLimitOptions(command: Command, prefix: string): void {
  for (const [name, limit] of Object.entries(HEALTH_LIMITS)) {
    const flag = kebab(optionOf(prefix, name));
    command.option(`--${flag} <value>`, `warn of what is beyond (default ${limit})`, positiveNumber);
  }
}

/** Takes the thresholds out of all options. */
export function takeLimits(options: Record<string, unknown>, prefix: string): HealthLimits {
  const limits = Object.entries(HEALTH_LIMITS).map(([name, limit]) => {
    const option = optionOf(prefix, name);
    const given = options[option];
    delete options[option];
    return [name, given ?? limit];
  });
  return Object.fromEntries(limits) as HealthLimits;
}

/** Adds `--audit`, its interval and its thresholds. */
export function addHealthOptions(command: Command): void {
  command
    .optionsGroup('Health:')
    .option('--audit', 'watch gradients, weights and updates, write health.jsonl, and warn')
    .option('--audit-every <steps>', 'steps from one look to the next', wholeNumber(1), 50);
  addLimitOptions(command, 'audit');
}

/** Takes what `--audit` asks for out of all options; undefined without `--audit`. */
export function takeHealth(options: Record<string, unknown>): HealthOptions | undefined {
  const { audit, auditEvery } = options;
  delete options.audit;
  delete options.auditEvery;
  const limits = takeLimits(options, 'audit');
  return audit ? { every: auditEvery as number, limits } : undefined;
}
