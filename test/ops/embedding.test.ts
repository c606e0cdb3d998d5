/** The embedding through the graph that training uses, both passes; and rows of tables of two bytes, in windows too. */
import { expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { embeddingBackwardCase, embeddingForwardCase } from '../../src/cases/embedding.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { embedding } from '../../src/ops/embedding.js';
import { takeRows } from '../../src/ops/take-rows.js';
import { caseInput, caseParameter, expectOutputs } from '../support/cases.js';
import { backwardFrom, run, useDevice } from '../support/gpu.js';

const context = useDevice();

test.each([
  [50, 331, 96],
  [300, 4, 33],
])('%i rows of a table %i x %i', async (rows, entries, columns) => {
  const { device } = context;
  const given = { rows, entries, columns };
  const [forward, backward] = [embeddingForwardCase(given), embeddingBackwardCase(given)];
  const graph = new Graph();
  const table = caseParameter(device, forward, 'table', [entries, columns]);
  const y = embedding(graph, table, {
    ids: caseInput(device, forward, 'ids', [rows]),
    order: caseInput(device, backward, 'order', [rows]),
    starts: caseInput(device, backward, 'starts', [rows + 1]),
  });
  backwardFrom(graph, y, caseInput(device, backward, 'dy', [rows, columns]));
  const [actual, dtable] = await run(device, graph, [y, table.gradient!]);
  expectOutputs(forward, { y: actual! });
  expectOutputs(backward, { dtable: dtable! }, { dtable: new Float64Array(entries * columns) });
});

// rows of an odd number of columns begin in the middle of a word
test.each(['f16', 'bf16'] as const)('of a table in %s, whole and in windows', async type => {
  const { device } = context;
  if (type === 'f16' && !device.adapter.features.includes('shader-f16')) return;
  const [rows, entries, columns] = [50, 331, 33];
  const forward = embeddingForwardCase({ rows, entries, columns, type });
  const table = caseInput(device, forward, 'table', [entries, columns]);
  const ids = caseInput(device, forward, 'ids', [rows]);
  const limits = { ...device.adapter.limits, maxStorageBufferBindingSize: 256 + 140 * 2 * columns };
  for (const adapter of [device.adapter, { ...device.adapter, limits }]) {
    const graph = new Graph();
    const y = takeRows(graph, table, ids);
    const [actual] = await run(device, graph, [y], new VariantTable(adapter));
    expectOutputs(forward, { y: actual! });
    expect(actual!.some(value => value !== 0)).toBe(true);
  }
});
