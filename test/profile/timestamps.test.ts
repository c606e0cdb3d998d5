/** What is said where an adapter cannot time kernels. */
import { expect, test } from 'vitest';
import { UserError } from '../../src/errors.js';
import { checkTimestamps } from '../../src/profile/profile.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();

test('an adapter without timestamps is refused with what can be done instead', () => {
  const { adapter } = context.device;
  expect(() => checkTimestamps(adapter)).not.toThrow();
  const without = { ...adapter, features: adapter.features.filter(feature => feature !== 'timestamp-query') };
  expect(() => checkTimestamps(without)).toThrow(UserError);
  expect(() => checkTimestamps(without)).toThrow(`'${adapter.name}' has no timestamps (timestamp-query)`);
});
