/** The embedding, forward and backward, against float64, through the graph that training uses. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { VariantTable } from '../../src/kernels/variants.js';
import * as bounds from '../../src/numerics/bounds.js';
import { embeddingCases } from '../../src/numerics/cases.js';
import { stored } from '../../src/numerics/inputs.js';
import * as reference from '../../src/numerics/reference.js';
import { embedding, groupRowsById } from '../../src/ops/embedding.js';
import { takeRows } from '../../src/ops/take-rows.js';
import { backwardFrom, expectWithin, input, parameter, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

describe('embedding', () => {
  test.each(embeddingCases)('%i rows of a table %i x %i', async (R, V, C) => {
    const { device } = context;
    const [table, dy] = [uniform('table', V * C), uniform('dy', R * C)];
    const ids = Uint32Array.from(uniform('ids', R, 0, V).map(Math.floor));
    const { order, starts } = groupRowsById(ids);
    const graph = new Graph();
    const TABLE = parameter(device, 'table', [V, C], table);
    const y = embedding(graph, TABLE, {
      ids: input(device, 'ids', [R], ids, 'u32'),
      order: input(device, 'order', [R], order, 'u32'),
      starts: input(device, 'starts', [R + 1], starts, 'u32'),
    });
    backwardFrom(graph, y, input(device, 'dy', [R, C], dy));
    const [actual, dtable] = await run(device, graph, [y, TABLE.gradient!]);
    expect(actual).toEqual(Float32Array.from(reference.embedding(table, ids, C)));
    const magnitudes = reference.embeddingBackward(dy.map(Math.abs), ids, V, C);
    const bound = magnitudes.map(sum => bounds.gamma(R) * sum + 1e-38);
    expectWithin(dtable!, reference.embeddingBackward(dy, ids, V, C), bound, 'dtable');
  });

  // rows of an odd number of columns begin in the middle of a word
  test.each(['f16', 'bf16'] as const)('of a table in %s, whole and in windows', async dtype => {
    const { device } = context;
    if (dtype === 'f16' && !device.adapter.features.includes('shader-f16')) return;
    const [R, V, C] = [50, 331, 33];
    const table = stored(uniform('table', V * C), dtype);
    const ids = Uint32Array.from(uniform('ids', R, 0, V).map(Math.floor));
    const [TABLE, IDS] = [input(device, 'table', [V, C], table, dtype), input(device, 'ids', [R], ids, 'u32')];
    const limits = { ...device.adapter.limits, maxStorageBufferBindingSize: 256 + 140 * 2 * C };
    for (const adapter of [device.adapter, { ...device.adapter, limits }]) {
      const graph = new Graph();
      const y = takeRows(graph, TABLE, IDS);
      const [actual] = await run(device, graph, [y], new VariantTable(adapter));
      expect(actual).toEqual(Float32Array.from(reference.embedding(table, ids, C)));
    }
  });
});
