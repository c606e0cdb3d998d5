/** The flag of a group of parameters. */
import { InvalidArgumentError } from 'commander';
import { expect, test } from 'vitest';
import { parseParameterGroup } from '../../src/cli/field-flags.js';
import { parseConfig } from '../../src/run/config.js';

test.each([
  ['*norm*:weightDecay=0', { match: ['*norm*'], weightDecay: 0 }],
  ['model.layers.0.*,model.layers.1.*:frozen', { match: ['model.layers.0.*', 'model.layers.1.*'], frozen: true }],
  [
    '*embed*:newRows=32_000,learningRate=2.5,from=40%',
    { match: ['*embed*'], newRows: 32_000, learningRate: 2.5, from: '40%' },
  ],
  ['*norm*:frozen=true', { match: ['*norm*'], frozen: true }],
  ['*:newRows,from=1e6', { match: ['*'], newRows: true, from: 1e6 }],
])('%s is read', (text, group) => {
  expect(parseParameterGroup(text)).toEqual(group);
  const fields = { out: 'x', sources: [{ name: 'en', path: 'en' }], parameterGroups: [parseParameterGroup(text)] };
  expect(parseConfig(fields).parameterGroups).toEqual([group]);
});

test.each(['*norm*', '*norm*:', ':frozen', 'a:b:c', '*norm*:weightDecay=none'])('%s is refused', text => {
  expect(() => parseParameterGroup(text)).toThrow(InvalidArgumentError);
});
