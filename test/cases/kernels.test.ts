/**
 * Every kernel against float64 on a device that checks bounds, in the variant that the adapter takes, on all sizes and
 * types. `test/audit` and 'audit kernels --quick' have the other variants, and adversarial inputs.
 */
import { describe, expect, test } from 'vitest';
import { FAMILIES } from '../../src/audit/subjects/index.js';
import { givenOf } from '../../src/cases/case.js';
import { faultsOf } from '../support/cases.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
/** Longer sums are the audit's. */
const MOST_TERMS = 256;

describe.each(FAMILIES)('$name', ({ problems }) => {
  test('is within its bounds', { timeout: 300_000 }, async () => {
    const { device } = context;
    const { adapter } = device;
    // SwiftShader would take six minutes for all sizes, most of them to compile products; it takes the quick audit's
    const posed = [...problems({ adapter, quick: adapter.architecture === 'swiftshader' })];
    const uniform = posed.filter(({ inputClass, terms = 0 }) => inputClass === 'uniform' && terms <= MOST_TERMS);
    expect(uniform.length).toBeGreaterThan(0);
    for (const problem of uniform) {
      const variants = problem.variants.slice(0, 1);
      expect([...(await faultsOf(device, { ...problem, variants })).values()]).toEqual([]);
    }
  });
});

test('a case makes no value before it is asked for one, and the same ones each time', () => {
  const posed = () => [
    ...FAMILIES.find(({ name }) => name === 'rmsnorm')!.problems({ adapter: context.device.adapter, quick: true }),
  ];
  const [one, other] = [posed(), posed()];
  for (const [i, problem] of one.entries()) expect(givenOf(problem)).toEqual(givenOf(other[i]!));
});
