import { expect, test } from 'vitest';
import { select, workNames } from '../../bench/catalogue.js';
import { UserError } from '../../src/errors.js';

test('names choose works; none chooses all kernels and the step', () => {
  const ofOne = select(['matmul'], [7]).works.length;
  expect(ofOne, 'each form').toBeGreaterThan(1);
  expect(select(['matmul'], [7, 9]).works).toHaveLength(2 * ofOne);
  expect(select(['step', 'step']).works, 'a small and a large vocabulary').toHaveLength(2);
  const all = select([]);
  expect(all.peers).toBe(false);
  expect(select(['all']).works.length).toBeGreaterThan(all.works.length);
  expect(select(['all']).peers).toBe(true);
  expect(select(['peers']).works, 'AdamW and the copy ceiling').toHaveLength(1);
});

test('what there is not is said, with what there is', () => {
  expect(() => select(['matmull'])).toThrow(UserError);
  expect(() => select(['matmull'])).toThrow(`no benchmark 'matmull'; there are ${workNames.join(', ')}`);
  expect(() => select(['constructor'])).toThrow(UserError);
  for (const names of [[], ['matmul', 'step'], ['gpu']])
    expect(() => select(names, [4])).toThrow(/--size goes with one/);
});
