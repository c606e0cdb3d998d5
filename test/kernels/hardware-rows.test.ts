/** Kernels that take a tensor by rows, as hardware takes them: a workgroup a row, 128 threads, vectors of four. */
import { expect, test } from 'vitest';
import { addBiasCase } from '../../src/cases/bias.js';
import type { Case } from '../../src/cases/case.js';
import { crossEntropyCase } from '../../src/cases/cross-entropy.js';
import { embeddingBackwardCase, embeddingForwardCase } from '../../src/cases/embedding.js';
import { headNormForwardCase } from '../../src/cases/head-norm.js';
import { rmsnormBackwardCase, rmsnormForwardCase } from '../../src/cases/rmsnorm.js';
import { ropeCase } from '../../src/cases/rope.js';
import { swigluBackwardCase, swigluForwardCase } from '../../src/cases/swiglu.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { faultsOf } from '../support/cases.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
const type = 'f32';

/** Rows that are whole vectors, longer than a workgroup, and rows that are not. */
const cases: Case[] = [260, 37].flatMap(columns => {
  const sizes = { rows: 5, columns };
  return [
    addBiasCase({ ...sizes, type }),
    crossEntropyCase({ ...sizes, type }),
    embeddingForwardCase({ ...sizes, entries: 11 }),
    embeddingBackwardCase({ ...sizes, entries: 11 }),
    rmsnormForwardCase({ ...sizes, type }),
    rmsnormBackwardCase({ ...sizes, type }),
    swigluForwardCase({ ...sizes, type }),
    swigluBackwardCase({ ...sizes, type }),
  ];
});
const ofHeads: Case[] = [48, 10].flatMap(D => [
  headNormForwardCase({ rows: 3, H: 4, KV: 2, D, kind: 'keys', type }),
  ...[false, true].map(inverse => ropeCase({ B: 2, T: 5, heads: 3, rowHeads: 4, headSize: D, type, inverse })),
]);

test.each([...cases, ...ofHeads].map(one => [`${one.kernel}, ${one.shape}`, one] as const))('%s', async (_, one) => {
  const { device } = context;
  const table = new VariantTable({ ...device.adapter, kind: 'hardware' });
  expect([...(await faultsOf(device, { ...one, variants: [{ name: 'hardware', table }] })).values()]).toEqual([]);
});
