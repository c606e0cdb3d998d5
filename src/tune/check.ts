/** Checks whether a variant computes what it should, on a small case with edges, against float64. */
import { Bench } from '../cases/bench.js';
import { type Case, type Expected, givenOf } from '../cases/case.js';
import type { Device } from '../gpu/device.js';
import { type KernelRequest, VariantTable } from '../kernels/variants.js';
import { compare } from '../numerics/compare.js';
import { canonical } from './candidates.js';
import type { Variant } from './kind.js';
import { kindOf } from './kinds/index.js';

/** A case, and the result that must come out. */
interface Posed {
  readonly one: Case;
  readonly expected: Readonly<Record<string, Expected>>;
}

/** Checks variants; a case is worked out once, and a variant is checked once on each. */
export class Checker {
  readonly #bench: Bench;
  readonly #posed = new Map<string, Posed>();
  readonly #faults = new Map<string, Promise<string | undefined>>();

  constructor(device: Device) {
    this.#bench = new Bench(device, { repeats: 1, fillWorkgroups: false });
  }

  /** Checks a variant. @returns why it is wrong, or undefined. @throws Error when it does not compile. */
  findFault(request: KernelRequest, variant: Variant): Promise<string | undefined> {
    const kind = kindOf(request);
    const small = kind.small(request.request);
    const caseKey = canonical([small, kind.checkedBy?.(variant)]);
    const posed = this.#posed.get(caseKey) ?? poseOf(kind.caseOf(small, variant));
    this.#posed.set(caseKey, posed);
    const key = canonical([small, variant]);
    const table = new VariantTable(this.#bench.device.adapter, {}, { [request.kind]: variant });
    const fault = this.#faults.get(key) ?? findFault(this.#bench, posed, table);
    this.#faults.set(key, fault);
    return fault;
  }

  destroy(): void {
    this.#bench.destroy();
  }
}

const poseOf = (one: Case): Posed => ({ one, expected: one.expected(givenOf(one)) });

async function findFault(bench: Bench, { one, expected }: Posed, table: VariantTable): Promise<string | undefined> {
  const [run] = (await bench.run({ ...one, variants: [{ name: 'candidate', table }] })).values();
  for (const [output, { reference, bound }] of Object.entries(expected)) {
    const { isWritten = () => true } = one.outputs[output]!;
    const actual = run!.values[output]!.map((value, i) => (isWritten(i) ? value : reference[i]!));
    const { passed, description } = compare(actual, reference, bound);
    if (!passed) return `${output}: ${description.split('\n')[0]}`;
  }
  return run!.strayWrites > 0 ? `${run!.strayWrites} values beside the results are written` : undefined;
}
