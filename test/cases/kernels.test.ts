/**
 * Every kernel against float64 on all sizes and types, on a device that checks bounds, in the variant that the adapter
 * takes. `test/audit` and 'audit kernels --quick' have the other variants, and adversarial inputs.
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
    // SwiftShader would take six minutes for all sizes, most of them to compile products; it takes the quick audit's
    const quick = device.adapter.architecture === 'swiftshader';
    let posed = 0;
    for (const problem of problems({ adapter: device.adapter, quick })) {
      if (problem.inputClass !== 'uniform' || (problem.terms ?? 0) > MOST_TERMS) continue;
      const variants = problem.variants.slice(0, 1);
      expect([...(await faultsOf(device, { ...problem, variants })).values()]).toEqual([]);
      posed++;
    }
    expect(posed).toBeGreaterThan(0);
  });
});

test('a case makes no value before it is asked for one, and the same ones each time', () => {
  const posed = () => [
    ...FAMILIES.find(({ name }) => name === 'rmsnorm')!.problems({ adapter: context.device.adapter, quick: true }),
  ];
  const [one, other] = [posed(), posed()];
  for (const [i, problem] of one.entries()) expect(givenOf(problem)).toEqual(givenOf(other[i]!));
});
