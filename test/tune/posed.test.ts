/** What the tuner poses is what a step dispatches, whatever its parameters, gradients and moments are kept in. */
import { describe, expect, test } from 'vitest';
import { MemoryCount } from '../../src/gpu/memory.js';
import type { KernelCall, Operand } from '../../src/kernels/call.js';
import { BYTES } from '../../src/kernels/element-type.js';
import { type KernelRequest, VariantTable } from '../../src/kernels/variants.js';
import { dryStep, type StepShape } from '../../src/train/dry-step.js';
import { candidatesFor } from '../../src/tune/candidates.js';
import { caseOf } from '../../src/tune/subject.js';
import { smallModel } from '../support/model.js';
import { adapter } from '../support/tuned.js';

const memory = new MemoryCount(adapter);

/** Poses a request as the tuner does, on buffers that are counted alone. */
function pose(request: KernelRequest): KernelCall {
  const { variant } = candidatesFor(adapter, request)[0]!;
  const { inputs, outputs, calls } = caseOf(request, variant);
  const operands = Object.entries({ ...inputs, ...outputs }).map(([name, { type, count }]): [string, Operand] => {
    const sizeBytes = 4 * Math.ceil((BYTES[type] * count) / 4);
    return [name, { buffer: memory.createBuffer(name, sizeBytes), offsetBytes: 0, sizeBytes, type }];
  });
  const table = new VariantTable(adapter, {}, { [request.kind]: variant });
  return calls(table, Object.fromEntries(operands))[0]!;
}

/** Matrices of whole fours of elements, as those of models are. */
const model = smallModel({ vocabSize: 132, hiddenSize: 32, intermediateSize: 48, numAttentionHeads: 2 });
const optimizer = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };

describe('the kernels that are tuned for are those of a step', () => {
  test.each<[string, Pick<StepShape, 'precision'>, Partial<StepShape['settings']>]>([
    ['in f32', {}, {}],
    ['in f16', { precision: 'f16' }, {}],
    ['with gradients in f16', { precision: 'f16' }, { gradientStorage: 'f16' }],
    [
      'with gradients in f16 and moments in host memory',
      { precision: 'f16' },
      { gradientStorage: 'f16', offload: 'moments' },
    ],
  ])('%s', (_, tensors, settings) => {
    const shape = { B: 2, T: 16, microBatches: 2, optimizer, ...settings };
    const { variants, allocations } = dryStep(adapter, { model, settings: shape, ...tensors });
    const calls = allocations.flatMap(({ steps }) => steps.flatMap(step => ('call' in step ? step.call : [])));
    const dispatched = new Set(calls.map(({ source }) => source));
    // losses of an evaluation are tuned with their gradient, which steps in f16 write in another type
    const ofEvaluation = tensors.precision === 'f16' ? /^cross_entropy f32/ : /^$/;
    const posed = [...variants.requests.values()].filter(({ key }) => !ofEvaluation.test(key));
    expect(posed.filter(request => !dispatched.has(pose(request).source)).map(({ key }) => key)).toEqual([]);
    const updates = posed.filter(({ kind }) => kind === 'elements').map(request => pose(request).source);
    expect(new Set(updates)).toEqual(new Set(calls.filter(({ label }) => label === 'adamw').map(one => one.source)));
  });
});
