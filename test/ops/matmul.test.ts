import { describe, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { type MatmulForm, type MatmulVariant, matmul, matmulVariant } from '../../src/kernels/matmul.js';
import { matmulBound } from '../../src/numerics/bounds.js';
import { matmulCases } from '../../src/numerics/cases.js';
import * as reference from '../../src/numerics/reference.js';
import { expectWithin, input, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();
const forms: readonly MatmulForm[] = ['NN', 'NT', 'TN'];
const epilogues = ['none', 'addend', 'accumulate'] as const;

/** The adapter's own variant, and the workgroup-memory one everywhere. */
const variants: Record<string, (adapter: Parameters<typeof matmulVariant>[0]) => MatmulVariant> = {
  chosen: matmulVariant,
  tiled: () => ({ kernel: 'tiled', threads: 16, rows: 4, columns: 4 }),
};

describe.each(Object.keys(variants))('matmul, %s variant', variant => {
  describe.each(forms)('form %s', form => {
    test.each(matmulCases)('$name within γ_K Σ|ab| of float64', async ({ name, shape }) => {
      const { device } = context;
      const { M, N, K } = shape;
      const shapes = { ...shape, transposeA: form === 'TN', transposeB: form === 'NT' };
      const a = uniform(`a ${name}`, M * K);
      const b = uniform(`b ${name}`, K * N);
      const addend = uniform(`c ${name}`, M * N);
      const product = reference.matmul(a, b, shapes);
      const magnitudes = reference.matmul(a, b, shapes, true);
      const [A, B] = [input(device, 'a', [M * K], a), input(device, 'b', [K * N], b)];
      for (const epilogue of epilogues) {
        const C = input(device, 'c', [M * N], addend);
        const other = input(device, 'addend', [M * N], addend);
        const graph = new Graph();
        graph.add({
          op: 'matmul',
          inputs: [A, B, other],
          outputs: [],
          updates: [C],
          launch: (adapter, bind) => [
            matmul(
              variants[variant]!(adapter),
              { form, M, N, K },
              {
                a: bind(A),
                b: bind(B),
                c: bind(C),
                addend: { none: undefined, addend: bind(other), accumulate: 'c' as const }[epilogue],
              },
            ),
          ],
        });
        const [actual] = await run(device, graph, [C]);
        const withAddend = epilogue !== 'none';
        const expected = withAddend ? product.map((value, i) => value + addend[i]!) : product;
        expectWithin(actual!, expected, matmulBound(magnitudes, K, withAddend ? addend : undefined), epilogue);
        for (const tensor of [C, other]) tensor.buffer!.destroy();
      }
      for (const tensor of [A, B]) tensor.buffer!.destroy();
    });
  });
});
