/** A request as something to run: its tensors, and the calls of a variant on them. */
import { Graph } from '../autograd/graph.js';
import { type Plan, plan } from '../autograd/plan.js';
import { persistent, type Tensor } from '../autograd/tensor.js';
import type { Device } from '../gpu/device.js';
import { attentionCall } from '../kernels/attention.js';
import type { AttentionKernel, AttentionSizes, AttentionVariant } from '../kernels/attention-variant.js';
import { BYTES, type ElementType, type KernelCall, type Operand } from '../kernels/call.js';
import { matmulCalls } from '../kernels/matmul.js';
import type { MatmulVariant } from '../kernels/matmul-variant.js';
import type { KernelRequest } from '../kernels/table.js';
import type { Variant } from './candidates.js';

export interface TensorSpec {
  readonly name: string;
  readonly elements: number;
  readonly type: ElementType;
}

/** The tensors of a kernel, in the order of its bindings. */
export function tensorsOf(request: KernelRequest): TensorSpec[] {
  if (request.kind === 'matmul') {
    const { M, N, K, types } = request.request;
    return [
      { name: 'a', elements: M * K, type: types.a },
      { name: 'b', elements: K * N, type: types.b },
      { name: 'c', elements: M * N, type: types.c },
    ];
  }
  const { kernel, sizes, type } = request.request;
  const shapes = attentionTensors(sizes, type);
  return ATTENTION_BINDINGS[kernel].map(name => ({ name, ...shapes[name] }));
}

type AttentionTensor = 'qkv' | 'out' | 'logsumexp' | 'dout' | 'dqkv' | 'delta';

const ATTENTION_BINDINGS: Readonly<Record<AttentionKernel, readonly AttentionTensor[]>> = {
  attention_forward: ['qkv', 'out', 'logsumexp'],
  attention_backward_query: ['qkv', 'out', 'logsumexp', 'dout', 'dqkv', 'delta'],
  attention_backward_key_value: ['qkv', 'logsumexp', 'delta', 'dout', 'dqkv'],
};

function attentionTensors({ B, T, H, KV, D }: AttentionSizes, type: ElementType) {
  const qkv = { elements: B * T * (H + 2 * KV) * D, type };
  const out = { elements: B * T * H * D, type };
  const row = { elements: B * H * T, type: 'f32' as const };
  return { qkv, out, logsumexp: row, dout: out, dqkv: qkv, delta: row } satisfies Record<AttentionTensor, unknown>;
}

/** Makes the tensors of a request, empty; free them with `freeTensors`. @throws UserError beyond the adapter's limits. */
export function makeTensors(device: Device, specs: readonly TensorSpec[]): Tensor[] {
  const made: Tensor[] = [];
  try {
    for (const { name, elements, type } of specs) {
      const buffer = device.createBuffer(`tuning ${name}`, BYTES[type] * elements);
      made.push(persistent(name, [elements], buffer, type));
    }
    return made;
  } catch (error) {
    freeTensors(made);
    throw error;
  }
}

export function freeTensors(tensors: readonly Tensor[]): void {
  for (const { buffer } of tensors) buffer!.destroy();
}

/** Compiles and binds a variant. A weight gradient (`TN`) adds to what is there, as it does in a training step. */
export function planVariant(
  device: Device,
  request: KernelRequest,
  variant: Variant,
  tensors: readonly Tensor[],
): Promise<Plan> {
  const graph = new Graph();
  graph.add({
    op: request.key,
    inputs: [],
    outputs: [],
    updates: tensors,
    launch: (kernels, bind) => callsOf(request, variant, tensors.map(bind), kernels.maxBindingBytes),
  });
  return plan(device, graph);
}

function callsOf(
  request: KernelRequest,
  variant: Variant,
  operands: readonly Operand[],
  maxBindingBytes: number,
): KernelCall[] {
  if (request.kind === 'attention') {
    const { kernel, sizes } = request.request;
    return [attentionCall(kernel, variant as AttentionVariant, sizes, operands)];
  }
  const [a, b, c] = operands as [Operand, Operand, Operand];
  const addend = request.request.form === 'TN' ? 'c' : undefined;
  return matmulCalls(variant as MatmulVariant, request.request, { a, b, c, addend }, maxBindingBytes);
}
