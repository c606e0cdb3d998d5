/**
 * Every kernel against float64 on all sizes and types, on a device that checks bounds: in the variant that the adapter
 * takes, and products in all that cover pairs of what a pipeline is made for. `test/audit` and 'audit kernels --quick'
 * have the others, and adversarial inputs.
 */
import { describe, expect, test } from 'vitest';
import { FAMILIES } from '../../src/audit/subjects/index.js';
import { givenOf, type Problem } from '../../src/cases/case.js';
import { defaultLanes } from '../../src/kernels/lanes.js';
import { faultsOf } from '../support/cases.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
const ALL_VARIANTS = ['matmul'];
/** Longer sums are the audit's. */
const MOST_TERMS = 256;
/** Products that store halves take llvmpipe two seconds to compile: one size in so many is posed of two-byte types. */
const HALF_SIZES = 6;
/** Four lanes hold a quarter of a head each: SwiftShader takes 15 s to compile each of these, which others meet. */
const isSlow = ({ shape }: Problem, lanes: number) => lanes === 4 && /size (96|128, documents)/.test(shape);
const isPosed = ({ kernel, inputs, outputs }: Problem, i: number) =>
  !kernel.startsWith('matmul') ||
  i % HALF_SIZES === 0 ||
  [...Object.values(inputs), ...Object.values(outputs)].every(({ type }) => type === 'f32');

describe.each(FAMILIES)('$name', ({ name, problems }) => {
  test('is within its bounds', { timeout: 600_000 }, async () => {
    const { device } = context;
    const posed = [...problems({ adapter: device.adapter, quick: false })];
    const uniform = posed
      .filter(({ inputClass, terms = 0 }) => inputClass === 'uniform' && terms <= MOST_TERMS)
      .filter(isPosed)
      .filter(problem => !isSlow(problem, defaultLanes(device.adapter)));
    expect(uniform.length).toBeGreaterThan(0);
    for (const problem of uniform) {
      const variants = ALL_VARIANTS.includes(name) ? problem.variants : problem.variants.slice(0, 1);
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
