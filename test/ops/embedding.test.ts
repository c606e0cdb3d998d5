/** The embedding, forward and backward, against float64, through the graph that training uses. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import * as bounds from '../../src/numerics/bounds.js';
import { embeddingCases } from '../../src/numerics/cases.js';
import * as reference from '../../src/numerics/reference.js';
import { embedding, groupRowsById } from '../../src/ops/embedding.js';
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
});
