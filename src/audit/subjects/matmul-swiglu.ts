/** The product that a gated MLP starts with, with its SwiGLU in one pass. */
import { hasBothSides, matmulSwiglu } from '../../kernels/matmul.js';
import { type MatmulVariant, matmulKey } from '../../kernels/matmul-variant.js';
import { VariantTable } from '../../kernels/variants.js';
import { flushedProducts, matmulBound, storedBound, swigluOfProductsBound } from '../../numerics/bounds.js';
import { matmulCases } from '../../numerics/cases.js';
import { FORMATS, type Format, type InputClass, inputValues, type StoredType } from '../../numerics/inputs.js';
import { matmul, swiglu, type Vector } from '../../numerics/reference.js';
import { apart } from '../../numerics/side-by-side.js';
import { floats, type Problem, type Scope, storedTypes } from '../problem.js';
import { matmulVariants } from '../variants.js';
import type { Size } from './matmul-cover.js';

const ADVERSARIAL_SIZE = { M: 17, N: 65, K: 101 };
const ADVERSARIAL: readonly InputClass[] = ['cancelling', 'wide', 'denormal', 'signed zeros', 'largest'];

export function* matmulSwigluProblems(scope: Scope): Generator<Problem> {
  // stored rows have K elements: `quick` keeps to odd ones, so that each variant is compiled once
  const cases = matmulCases.filter(({ shape: { K } }, i) => !scope.quick || (K % 2 === 1 && i % 2 === 1));
  for (const type of storedTypes(scope)) {
    for (const { shape } of cases) yield problem(scope, type, type, shape, 'uniform');
    for (const inputClass of ADVERSARIAL) yield problem(scope, type, type, ADVERSARIAL_SIZE, inputClass);
  }
  if (scope.quick) return; // the same lines as of products alone load weights of bf16
  for (const { shape } of cases) yield problem(scope, 'f32', 'bf16', shape, 'uniform');
}

/** x [M, K], weight [2F, K] → gateUp [M, 2F], y [M, F] of what is stored of them. */
function problem(
  { adapter }: Scope,
  type: StoredType,
  weightType: Format,
  { M, N: F, K }: Size,
  inputClass: InputClass,
): Problem {
  const label = `${M} ${F} ${K} ${inputClass}`;
  // gate times up must not overflow
  const most = Math.sqrt(Math.sqrt(FORMATS[type].largest) / K / 2);
  const options = { type, low: -1, high: 1, most };
  const x = inputValues(inputClass, `x ${label}`, M * K, options);
  const weight = inputValues(inputClass === 'denormal' ? 'uniform' : inputClass, `w ${label}`, 2 * F * K, {
    ...options,
    type: weightType,
  });
  const types = { a: type, b: weightType, c: type } as const;
  const shape = { M, N: 2 * F, K, transposeA: false, transposeB: true };
  const key = matmulKey({ form: 'NT', M, N: 2 * F, K, types });
  const tableOf = (variant: MatmulVariant) => new VariantTable(adapter, { matmul: { [key]: variant } });
  return {
    kernel: 'matmul_swiglu',
    shape: `${type}${weightType === type ? '' : ` times ${weightType}`}, M ${M} F ${F} K ${K}`,
    inputClass,
    inputs: { x: floats(x, type), weight: floats(weight, weightType) },
    outputs: { gateUp: { type, count: 2 * M * F }, y: { type, count: M * F } },
    expected(given) {
      const [left, right] = [given.x!, given.weight!];
      const gateUp = matmul(left, right, shape);
      const sums = matmulBound(
        matmul(left, right, shape, true),
        K,
        undefined,
        flushedProducts(left, right, shape, types),
      );
      const gateUpBound = storedBound(sums, gateUp, type);
      const [gate, up] = apart(gateUp, M, [F, F]) as [Vector, Vector];
      const [gateError, upError] = apart(gateUpBound, M, [F, F]) as [Vector, Vector];
      const y = swiglu(gate, up);
      const bound = swigluOfProductsBound(gate, up, gateError, upError);
      return {
        gateUp: { reference: gateUp, bound: gateUpBound },
        y: { reference: y, bound: storedBound(bound, y, type) },
      };
    },
    variants: [...matmulVariants(adapter, types)]
      .filter(([, variant]) => hasBothSides(variant))
      .map(([name, variant]) => ({
        name,
        calls: bind =>
          matmulSwiglu(
            tableOf(variant),
            { M, F, K },
            {
              x: bind('x'),
              weight: bind('weight'),
              gateUp: bind('gateUp'),
              y: bind('y'),
            },
          ),
      })),
  };
}
