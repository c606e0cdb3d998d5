/** The audit of kernels: every problem on every variant, and what each left in memory. */
import { type Alter, Bench, type Outcome } from '../cases/bench.js';
import { type Expected, givenOf, type Problem } from '../cases/case.js';
import { UserError } from '../errors.js';
import type { Device } from '../gpu/device.js';
import { BINS, type Errors, errorsOf } from './error-units.js';
import { Kept, type KeptInput, mergeKept } from './kept.js';
import { nonFiniteChecks } from './non-finite.js';
import type { Scope } from './problem.js';
import { type Check, finiteOrNull } from './report.js';
import { FAMILIES, type Family } from './subjects/index.js';

export interface KernelAuditOptions {
  /** Kernels, or families of them; default: all. */
  readonly names?: readonly string[];
  readonly quick?: boolean;
  readonly onProgress?: (done: number, kernel: string) => void;
  /** Which problems of the kernels are posed; default: all. */
  readonly only?: (problem: Problem) => boolean;
  /** Rewrites kernels: how tests show that the audit fails. */
  readonly alter?: Alter;
}

export interface KernelFindings {
  readonly checks: readonly Check[];
  readonly histograms: readonly { readonly kernel: string; readonly variant: string; readonly counts: number[] }[];
  readonly kept: readonly KeptInput[];
}

/** The families that hold the kernels asked for. @throws UserError naming those that exist, when one does not. */
export function familiesOf(
  names: readonly string[],
): { readonly family: Family; readonly kernels: readonly string[] }[] {
  const known = FAMILIES.flatMap(({ name, kernels }) => [name, ...kernels]);
  const unknown = names.find(name => !known.includes(name));
  if (unknown !== undefined) {
    throw new UserError(`there is no kernel '${unknown}'; there are ${[...new Set(known)].sort().join(', ')}`);
  }
  return FAMILIES.flatMap(family => {
    const isWhole = names.length === 0 || names.includes(family.name);
    const kernels = isWhole ? family.kernels : family.kernels.filter(kernel => names.includes(kernel));
    return kernels.length > 0 ? [{ family, kernels }] : [];
  });
}

/**
 * Audits kernels on devices of one adapter, which share the families: a software driver compiles one kernel at a time
 * for a device.
 * @throws UserError when a kernel that was asked for does not exist.
 */
export async function auditKernels(devices: readonly Device[], options: KernelAuditOptions): Promise<KernelFindings> {
  const families = familiesOf(options.names ?? []);
  const findings = families.map(() => new Findings());
  const left = [...families.entries()];
  const work = async (device: Device) => {
    for (let next = left.shift(); next; next = left.shift()) {
      const [i, { family, kernels }] = next;
      const onProblem = (kernel: string) => options.onProgress?.(families.length - left.length - 1, kernel);
      await auditFamily(device, family, kernels, options, findings[i]!, onProblem);
    }
  };
  const outcomes = await Promise.allSettled(
    devices.map(device =>
      work(device).catch((error: unknown) => {
        left.length = 0;
        throw error;
      }),
    ),
  );
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  return {
    checks: findings.flatMap(({ checks }) => checks),
    histograms: findings.flatMap(({ histograms }) => histograms),
    kept: mergeKept(findings.map(({ kept }) => kept)),
  };
}

async function auditFamily(
  device: Device,
  family: Family,
  kernels: readonly string[],
  { quick = false, only = () => true, alter }: KernelAuditOptions,
  findings: Findings,
  onProblem: (kernel: string) => void,
): Promise<void> {
  const scope: Scope = { adapter: device.adapter, quick };
  const bench = new Bench(device, { repeats: quick ? 2 : 3, alter });
  try {
    for (const problem of family.problems(scope)) {
      if (!kernels.includes(problem.kernel) || !only(problem)) continue;
      onProblem(problem.kernel);
      const running = bench.run(problem);
      const expected = problem.expected(givenOf(problem)); // on the host, while the device compiles
      findings.add(family.name, problem, expected, await running);
    }
    const examples = examplesOf(
      family.problems({ ...scope, quick: true }),
      problem => kernels.includes(problem.kernel) && only(problem),
    );
    for (const { problem, given, check } of await nonFiniteChecks(device, examples, alter)) {
      findings.checks.push(check);
      findings.kept.note({ family: family.name, problem, given, check });
    }
  } finally {
    bench.destroy();
  }
}

/** One problem of every kernel and type, of the first that has some elements. */
function examplesOf(problems: Iterable<Problem>, isWanted: (problem: Problem) => boolean): Problem[] {
  const examples = new Map<string, Problem>();
  for (const problem of problems) {
    const { kernel, shape, inputClass } = problem;
    const key = `${kernel} ${shape.split(',')[0]}`;
    if (!isWanted(problem) || inputClass !== 'uniform' || examples.has(key)) continue;
    const isSmall = Object.values(problem.inputs).some(({ count }) => count === 1);
    if (!isSmall || kernel === 'gradient_norm') examples.set(key, problem);
  }
  return [...examples.values()];
}

class Findings {
  readonly checks: Check[] = [];
  readonly kept = new Kept();
  readonly #histograms = new Map<string, KernelFindings['histograms'][number]>();

  get histograms() {
    return [...this.#histograms.values()];
  }

  add(
    family: string,
    problem: Problem,
    expected: Readonly<Record<string, Expected>>,
    runs: ReadonlyMap<string, Outcome>,
  ): void {
    const { kernel, shape, inputClass, terms, outputs } = problem;
    const check = (
      variant: string,
      metric: string,
      value: number,
      bound: number,
      more: Partial<Check> = {},
      index?: number,
    ) => {
      const made: Check = {
        kernel,
        variant,
        shape,
        inputClass,
        metric,
        value: finiteOrNull(value),
        bound,
        passed: value <= bound,
        ...more,
      };
      this.checks.push(made);
      this.kept.note({ family, problem, check: made, index });
    };
    for (const [variant, run] of runs) {
      for (const [output, { reference, bound }] of Object.entries(expected)) {
        const { type, isWritten } = outputs[output]!;
        const errors = errorsOf(run.values[output]!, reference, bound, type, isWritten);
        const more = { output, ...spreads(errors), ...lengthOf(terms, errors) };
        check(variant, 'error', errors.shares.max, 1, more, errors.worst);
        this.#count(kernel, variant, errors);
      }
      check(variant, 'stray writes', run.strayWrites, 0);
      check(variant, 'unwritten elements', run.unwritten, 0);
      check(variant, 'elements that differ between runs', run.unequal, 0);
    }
    const [first, ...others] = runs;
    for (const [variant, run] of others) {
      for (const [output, { bound }] of Object.entries(expected)) {
        const { type, isWritten } = outputs[output]!;
        const reference = Float64Array.from(first![1].values[output]!);
        const twice = bound.map(value => 2 * value); // each may be off by its bound, to either side
        const errors = errorsOf(run.values[output]!, reference, twice, type, isWritten);
        const metric = `difference from ${first![0]}`;
        check(variant, metric, errors.shares.max, 1, { output, ...spreads(errors) });
      }
    }
  }

  #count(kernel: string, variant: string, { histogram }: Errors): void {
    const key = `${kernel} · ${variant}`;
    const counts = this.#histograms.get(key)?.counts ?? BINS.map(() => 0);
    this.#histograms.set(key, { kernel, variant, counts: counts.map((count, i) => count + histogram[i]!) });
  }
}

function lengthOf(terms: number | undefined, { relative }: Errors): Pick<Check, 'terms' | 'relative'> {
  if (terms === undefined) return {};
  if (!relative) return { terms };
  return { terms, relative: { error: finiteOrNull(relative.error), bound: finiteOrNull(relative.bound) } };
}

function spreads({ ulps, shares }: Errors): Pick<Check, 'ulps' | 'shares'> {
  const finite = ({ max, p99, mean }: Errors['ulps']) => ({
    max: finiteOrNull(max),
    p99: finiteOrNull(p99),
    mean: finiteOrNull(mean),
  });
  return { ulps: finite(ulps), shares: finite(shares) };
}
