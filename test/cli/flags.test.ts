/** Flags that are made of the fields of a run: each takes the values of its field's type, optional or not. */
import { Command } from 'commander';
import { expect, test } from 'vitest';
import { addFieldOptions, withFlags } from '../../src/cli/field-flags.js';

/** The fields that flags come to. */
function fieldsOf(...flags: string[]): Record<string, unknown> {
  const command = new Command().exitOverride();
  addFieldOptions(command, ['qkvBias', 'qkNorm', 'tieWordEmbeddings', 'ropeTheta', 'precision']);
  return withFlags({}, command.parse(flags, { from: 'user' }).opts());
}

test('true and false, with and without a value', () => {
  expect(fieldsOf('--qkv-bias', '--tie-word-embeddings', 'false')).toEqual({ qkvBias: true, tieWordEmbeddings: false });
  expect(fieldsOf('--qkv-bias', 'false', '--qk-norm', 'true')).toEqual({ qkvBias: false, qkNorm: true });
});

test('numbers, and names', () => {
  expect(fieldsOf('--rope-theta', '500_000', '--precision', 'f16')).toEqual({ ropeTheta: 500_000, precision: 'f16' });
  expect(() => fieldsOf('--rope-theta', '-1')).toThrow(/option --rope-theta is -1: must be a positive number/);
});
