/**
 * Measures what the standard leaves to an adapter's arithmetic: whether numbers below the smallest normal one are kept,
 * and whether a multiply-add rounds once or twice (WGSL, section 15.7.4: fma is as accurate as x * y + z).
 */
import { Bench } from '../cases/bench.js';
import { type Case, Input, type Problem } from '../cases/case.js';
import type { Device } from '../gpu/device.js';
import { add } from '../kernels/add.js';
import { cast } from '../kernels/cast.js';
import type { ElementType } from '../kernels/element-type.js';
import { matmul } from '../kernels/matmul.js';
import { VariantTable } from '../kernels/variants.js';
import { FORMATS } from '../numerics/inputs.js';
import { hasHalves } from './problem.js';

interface Probe {
  readonly name: string;
  readonly inputs: Case['inputs'];
  readonly output: 'f32' | 'f16';
  /** The meaning of each result. */
  readonly meanings: ReadonlyMap<number, string>;
  readonly calls: Case['calls'];
}

const values = (type: ElementType, ...numbers: number[]) =>
  new Input(type, numbers.length, () => Float64Array.of(...numbers));
const keptOrFlushed = (exact: number) =>
  new Map([
    [exact, 'kept'],
    [0, 'flushed to zero'],
  ]);

function probes(withHalves: boolean): Probe[] {
  const { tiny } = FORMATS.f32;
  const u = 2 ** -12;
  const half = FORMATS.f16.tiny / 4;
  const sum: Case['calls'] = (kernels, { a, b, y }) => add(kernels, 1, { a: a!, b: b!, y: y! });
  const product =
    (K: number): Case['calls'] =>
    (kernels, { a, b, y }) =>
      matmul(kernels, { form: 'NN', M: 1, N: 1, K }, { a: a!, b: b!, c: y! });
  const conversion: Case['calls'] = (kernels, { a, y }) => cast(kernels, 1, { x: a!, y: y! });
  const subnormal = (
    name: string,
    inputs: Case['inputs'],
    exact: number,
    calls: Case['calls'],
    output: Probe['output'] = 'f32',
  ): Probe => ({ name: `subnormal ${name}`, inputs, output, meanings: keptOrFlushed(exact), calls });
  const singles = (a: number, b: number) => ({ a: values('f32', a), b: values('f32', b) });
  return [
    subnormal('f32, a sum', singles(tiny / 4, tiny / 8), 0.375 * tiny, sum),
    subnormal('f32, a product of normal numbers', singles(2 * tiny, 0.25), tiny / 2, product(1)),
    subnormal('f32, an operand', singles(tiny / 4, 8), 2 * tiny, product(1)),
    ...(withHalves
      ? [
          subnormal('f16, read', { a: values('f16', half) }, half, conversion),
          subnormal('f16, written', { a: values('f32', half) }, half, conversion, 'f16'),
        ]
      : []),
    {
      // (1 + u)² - (1 + 2u) is u², which is lost where the square is rounded first
      name: 'multiply-add f32',
      inputs: { a: values('f32', 1, 1 + u), b: values('f32', -(1 + 2 * u), 1 + u) },
      output: 'f32',
      meanings: new Map([
        [u * u, 'rounded once (fused)'],
        [0, 'rounded twice'],
      ]),
      calls: product(2),
    },
  ];
}

/** Returns for each probe what the adapter does. */
export async function arithmeticOf(device: Device): Promise<Record<string, string>> {
  const { adapter } = device;
  const bench = new Bench(device, { repeats: 1 });
  const found: Record<string, string> = {};
  try {
    for (const { name, inputs, output, meanings, calls } of probes(hasHalves(adapter))) {
      const problem: Problem = {
        kernel: 'arithmetic',
        shape: name,
        inputClass: 'denormal',
        inputs,
        outputs: { y: { type: output, count: 1 } },
        expected: () => ({}),
        calls,
        variants: [{ name, table: new VariantTable(adapter) }],
      };
      const value = (await bench.run(problem)).get(name)!.values.y![0]!;
      found[name] = meanings.get(value) ?? `${value} in place of ${[...meanings.keys()].join(' or ')}`;
    }
  } finally {
    bench.destroy();
  }
  return found;
}
