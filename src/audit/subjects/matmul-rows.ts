/**
 * Products of a few rows with weights, as a step of generation has them: the kernel that hardware takes for them, on
 * every adapter, beside what the adapter takes. All types, each epilogue, sizes of real models.
 */
import type { Problem, Variant } from '../../cases/case.js';
import { EPILOGUES, type MatmulCase, matmulCase, matmulSwigluCase } from '../../cases/matmul.js';
import { fewRowsSizes, type ProductSizes } from '../../cases/sizes.js';
import { VariantTable } from '../../kernels/variants.js';
import { type Scope, storedTypes } from '../problem.js';
import { fewRowsVariants } from '../variants.js';
import { typesOf } from './matmul-cover.js';
import { ADVERSARIAL } from './rows.js';

/** Neither a whole number of teams nor of chunks, in more rounds than one. */
const EDGES: ProductSizes = { M: 7, N: 67, K: 1037 };
/** One size for each type, so that each variant is compiled once. */
const QUICK: ProductSizes = { M: 5, N: 67, K: 1032 };
/** Wide products cost the host seconds, and pipelines a driver: f32 has all sizes, each other type every second one. */
const MOST_OTHERS = 1_000_000;

function variantsOf({ adapter }: Scope): Variant[] {
  const forced = [...fewRowsVariants(adapter)].map(([name, matmul]) => ({
    name,
    table: new VariantTable(adapter, {}, { matmul }),
  }));
  return [{ name: 'chosen for few rows', table: new VariantTable(adapter) }, ...forced];
}

export function* fewRowsProblems(scope: Scope): Generator<Problem> {
  const variants = variantsOf(scope);
  const pose = (given: Omit<MatmulCase, 'form'>): Problem => ({ ...matmulCase({ form: 'NT', ...given }), variants });
  for (const [i, types] of typesOf(scope).entries()) {
    const epilogueOf = (n: number) => EPILOGUES[(i + n) % EPILOGUES.length]!;
    if (scope.quick) {
      for (const inputClass of ['uniform', ...ADVERSARIAL] as const) {
        yield pose({ ...QUICK, types, epilogue: epilogueOf(0), inputClass });
      }
      continue;
    }
    for (const [n, sizes] of fewRowsSizes.entries()) {
      const isPosed = sizes.N * sizes.K <= MOST_OTHERS && n % 2 === i % 2;
      if (i === 0 || isPosed) yield pose({ ...sizes, types, epilogue: epilogueOf(n) });
    }
    for (const epilogue of EPILOGUES) yield pose({ ...EDGES, types, epilogue });
    for (const inputClass of ADVERSARIAL) yield pose({ ...EDGES, types, epilogue: 'addend', inputClass });
  }
}

/** The same with SwiGLU in one pass, where a thread has both sides in its registers. */
export function* fewRowsSwigluProblems(scope: Scope): Generator<Problem> {
  const variants = variantsOf(scope);
  for (const type of storedTypes(scope)) {
    for (const weightType of type === 'f32' && !scope.quick ? (['f32', 'bf16'] as const) : [type]) {
      const sizes = fewRowsSizes.filter(({ N, K }, n) => N * K <= MOST_OTHERS && n % 2 === 0);
      for (const { M, N: F, K } of scope.quick ? [QUICK] : sizes) {
        yield { ...matmulSwigluCase({ M, F, K, type, weightType }), variants };
      }
      const { M, N: F, K } = scope.quick ? QUICK : EDGES;
      for (const inputClass of ADVERSARIAL) {
        yield { ...matmulSwigluCase({ M, F, K, type, weightType, inputClass }), variants };
      }
      yield { ...matmulSwigluCase({ M, F, K, type, weightType, activation: 'gelu_pytorch_tanh' }), variants };
    }
  }
}
