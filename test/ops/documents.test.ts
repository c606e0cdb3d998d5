/** Attention within documents: each document of a packed window has the bits that it has alone, both passes. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { attentionCases } from '../../src/cases/attention.js';
import { beginsInput, documentsOf, partOf } from '../../src/cases/documents.js';
import { modelDocumentSizes } from '../../src/cases/sizes.js';
import {
  type AttentionKernel,
  type AttentionVariant,
  defaultAttention,
  rowsAtATime,
} from '../../src/kernels/attention-variant.js';
import { defaultLanes } from '../../src/kernels/lanes.js';
import { VariantTable } from '../../src/kernels/variants.js';
import type { Vector } from '../../src/numerics/reference.js';
import { attention } from '../../src/ops/attention.js';
import { faultsOf } from '../support/cases.js';
import { backwardFrom, input, parameter, run, useDevice } from '../support/gpu.js';

const context = useDevice();
const sizes = { B: 2, T: 75, H: 4, KV: 2, D: 24 };
const lengths = [1, 1, 5, 37, 2, 29];
const documents = documentsOf(sizes, lengths);
const width = { qkv: (sizes.H + 2 * sizes.KV) * sizes.D, out: sizes.H * sizes.D };

/** Output and gradient of rows as `shape` has them. */
async function passes(
  qkv: Vector,
  dout: Vector,
  shape: typeof sizes,
  variant: AttentionVariant | undefined,
  begins?: Vector,
): Promise<readonly [out: Float32Array, dqkv: Float32Array]> {
  const { device } = context;
  const rows = shape.B * shape.T;
  const x = parameter(device, 'qkv', [rows, width.qkv], qkv);
  const graph = new Graph();
  const out = attention(graph, x, shape, begins && input(device, 'documents', [rows], begins, 'u32'));
  backwardFrom(graph, out, input(device, 'dout', [rows, width.out], dout));
  const table = new VariantTable(device.adapter, {}, variant && { attention: variant });
  const [made, dqkv] = await run(device, graph, [out, x.gradient!], table);
  return [made!, dqkv!];
}

const variants: [string, AttentionVariant | undefined][] = [
  ['as shipped', undefined],
  ['in tiles of 16 keys', { threadsM: 4, threadsN: 2, blocks: 2, depth: 4 }],
  ['in tiles of 32 keys', { threadsM: 2, threadsN: 8, blocks: 1, depth: 8 }],
];

test.each(variants)('bits of each document alone, %s', async (_, variant) => {
  const one = attentionCases({ ...sizes, type: 'f32' }).attention_backward_query;
  const [qkv, dout] = [one.inputs.qkv!.values, one.inputs.dout!.values];
  const begins = beginsInput(documents, sizes).values;
  const [out, dqkv] = await passes(qkv, dout, sizes, variant, begins);
  for (const document of documents) {
    const alone = { ...sizes, B: 1, T: document.length };
    const [ownOut, ownGradient] = await passes(
      partOf(qkv, document, width.qkv),
      partOf(dout, document, width.out),
      alone,
      variant,
    );
    const where = `document at ${document.first} of ${document.length}`;
    const { first, length } = document;
    expect(out.slice(first * width.out, (first + length) * width.out), where).toEqual(ownOut);
    expect(dqkv.slice(first * width.qkv, (first + length) * width.qkv), where).toEqual(ownGradient);
  }
});

describe('at the sizes of models, as hardware takes them', () => {
  test.each(modelDocumentSizes)('heads $H/$KV of $D', async given => {
    const { device } = context;
    if (defaultLanes(device.adapter) === 4) return; // SwiftShader takes half a minute to compile each
    const hardware = { ...device.adapter, kind: 'hardware' } as const;
    const variantOf = (kernel: AttentionKernel) => defaultAttention(hardware, { kernel, sizes: given });
    const rescale = rowsAtATime(variantOf('attention_forward'));
    for (const [kernel, one] of Object.entries(attentionCases({ ...given, type: 'f32', rescale }))) {
      const table = new VariantTable(device.adapter, {}, { attention: variantOf(kernel as AttentionKernel) });
      const problem = { ...one, variants: [{ name: 'tiles', table }] };
      expect([...(await faultsOf(device, problem)).values()], kernel).toEqual([]);
    }
  });
});
