/**
 * Puts NaN and infinities into every input of every kernel. Where IEEE arithmetic gives a result that is not finite,
 * one must come out that a test of bits sees. WGSL lets a compiler assume that there is none (section 15.7.1), so that
 * this is a finding about an adapter. A training step relies on gradient_norm_partial and gradient_norm alone, which
 * test bits and must report it.
 */
import { type Alter, Bench } from '../cases/bench.js';
import { type Given, givenOf, type Problem } from '../cases/case.js';
import type { Device } from '../gpu/device.js';
import type { Check } from './report.js';

const VALUES = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

/** A check, and what the problem was given. */
export interface NonFiniteCheck {
  readonly problem: Problem;
  readonly given: Given;
  readonly check: Check;
}

export async function nonFiniteChecks(
  device: Device,
  problems: Iterable<Problem>,
  alter?: Alter,
): Promise<NonFiniteCheck[]> {
  const bench = new Bench(device, { repeats: 1, alter });
  const checks: NonFiniteCheck[] = [];
  try {
    for (const problem of problems) {
      const given = givenOf(problem);
      for (const [name, values] of Object.entries(given)) {
        if ((problem.inputs[name] ?? problem.outputs[name]!.initial)?.isSent) continue;
        for (const value of VALUES) {
          const changed = { ...given, [name]: withOne(values, value) };
          const expected = Object.entries(problem.expected(changed));
          const exact = Object.fromEntries(expected.map(([output, { reference }]) => [output, reference]));
          const shouldShow = isShown(problem, exact) || problem.reports?.(exact);
          if (!shouldShow) continue; // exp(-inf) is 0: nothing is lost
          for (const [variant, run] of await bench.run(problem, changed)) {
            const check = found(problem, variant, `${value} in '${name}' lost`, isSeen(problem, run.values));
            checks.push({ problem, given: changed, check });
          }
        }
      }
    }
  } finally {
    bench.destroy();
  }
  return checks;
}

/** Whether a kernel showed that it was given something that is not finite. */
export const isSeen = (problem: Problem, values: Readonly<Record<string, Float32Array>>): boolean =>
  problem.reports ? problem.reports(values) : isShown(problem, values);

/** Whether any output holds a value that is not finite, where the kernel writes: elsewhere it is poison. */
const isShown = ({ outputs }: Problem, values: Readonly<Record<string, Float32Array | Float64Array>>): boolean =>
  Object.entries(values).some(([name, output]) => {
    const { isWritten = () => true } = outputs[name]!;
    return [...output].some((value, i) => isWritten(i) && !Number.isFinite(value));
  });

/** Returns the values with one element in the middle replaced. */
function withOne(values: Float64Array, value: number): Float64Array {
  const changed = values.slice();
  changed[Math.floor(values.length / 2)] = value;
  return changed;
}

function found({ kernel, shape }: Problem, variant: string, metric: string, isSeen: boolean): Check {
  return { kernel, variant, shape, inputClass: 'not finite', metric, value: isSeen ? 0 : 1, bound: 0, passed: isSeen };
}
