/** What a plan would be: its nodes in order, where each tensor is and from when to when, and what shares that place. */
import type { Graph } from '../autograd/graph.js';
import { type Layout, layOut } from '../autograd/layout.js';
import { allocate, bytesOfAllocation, type PlanOptions } from '../autograd/plan.js';
import { bytesOf, type DType, type Shape, type Tensor } from '../autograd/tensor.js';
import type { Memory } from '../gpu/memory.js';

/** The numbers of two nodes: of the one that makes a tensor, and of the last that touches it. */
export interface Lifetime {
  readonly from: number;
  readonly to: number;
  /** Whether its values are read after the run, so that nothing follows it in its place. */
  readonly kept: boolean;
}

export interface ListedTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly bytes: number;
  /** The label of the buffer, if the tensor is persistent. */
  readonly buffer?: string;
  /** The number of the slot, if the tensor is temporary. */
  readonly slot?: number;
  readonly alive?: Lifetime;
}

export interface ListedNode {
  readonly name: string;
  readonly op: string;
  /** The labels of the kernels that it runs. */
  readonly kernels: readonly string[];
  readonly reads: readonly ListedTensor[];
  readonly makes: readonly ListedTensor[];
  readonly updates: readonly ListedTensor[];
  /** The inputs that are copied before it would overwrite them. */
  readonly copies: readonly string[];
}

/** A tensor in a slot. */
export interface Tenancy extends Lifetime {
  readonly name: string;
  readonly bytes: number;
}

export interface ListedSlot {
  readonly bytes: number;
  /**
   * The tensors in the order in which they are made. One that takes over its predecessor's place does so at its last
   * node.
   */
  readonly holds: readonly Tenancy[];
}

export interface PlanListing {
  readonly name: string;
  readonly nodes: readonly ListedNode[];
  readonly slots: readonly ListedSlot[];
  /** The bytes of all buffers that the plan makes: slots and kernel parameters. */
  readonly bytes: number;
  /** The most that temporary tensors hold at one node, which no layout can do without, and that node. */
  readonly live: { readonly bytes: number; readonly node: number };
}

/** Lays a graph out in `memory` as `plan` would. */
export function listPlan(
  name: string,
  graph: Graph,
  memory: Memory,
  { variants, ...options }: PlanOptions = {},
): PlanListing {
  const layout = layOut(graph, options);
  const { nodes, slots, places } = layout;
  const allocation = allocate(memory, layout, variants);
  const lifetimes = lifetimesOf(nodes, new Set(options.keep ?? []));
  const listed = (tensor: Tensor): ListedTensor => {
    const { name, shape, dtype, buffer } = tensor;
    const common = { name, shape, dtype, bytes: bytesOf(tensor) };
    return buffer
      ? { ...common, buffer: buffer.label }
      : { ...common, slot: places.get(tensor)!, alive: lifetimes.get(tensor)! };
  };
  return {
    name,
    nodes: nodes.map(({ node, copies }, i) => ({
      name: node.name,
      op: node.op,
      kernels: allocation.steps
        .slice(allocation.starts[i]!, allocation.starts[i + 1]!)
        .flatMap(step => ('call' in step ? step.call.label : [])),
      reads: node.inputs.map(listed),
      makes: node.results.map(listed),
      updates: (node.updates ?? []).map(listed),
      copies: copies.map(({ from }) => from.name),
    })),
    slots: slots.map(({ sizeBytes }, slot) => ({
      bytes: sizeBytes,
      holds: [...lifetimes]
        .filter(([tensor]) => places.get(tensor) === slot)
        .map(([tensor, lifetime]) => ({ name: tensor.name, bytes: bytesOf(tensor), ...lifetime })),
    })),
    bytes: bytesOfAllocation(allocation),
    live: mostAlive(lifetimes, places, nodes.length),
  };
}

/** Returns the lifetime of every temporary tensor, in the order in which they are made. */
function lifetimesOf(nodes: Layout['nodes'], kept: ReadonlySet<Tensor>): Map<Tensor, Lifetime> {
  const lastTouched = new Map<Tensor, number>();
  nodes.forEach(({ node }, i) => {
    for (const tensor of [...node.results, ...node.inputs]) lastTouched.set(tensor, i);
  });
  const lifetimes = new Map<Tensor, Lifetime>();
  nodes.forEach(({ node }, from) => {
    for (const tensor of node.results) {
      const isKept = kept.has(tensor);
      lifetimes.set(tensor, { from, to: isKept ? nodes.length - 1 : lastTouched.get(tensor)!, kept: isKept });
    }
  });
  return lifetimes;
}

/**
 * Finds the node at which temporary tensors hold the most. A slot holds one tensor at a time: where one takes over from
 * another, both are alive at a node and share the bytes.
 */
function mostAlive(
  lifetimes: ReadonlyMap<Tensor, Lifetime>,
  places: ReadonlyMap<Tensor, number>,
  nodes: number,
): PlanListing['live'] {
  const most = { bytes: 0, node: 0 };
  for (let node = 0; node < nodes; node++) {
    const bySlot = new Map<number, number>();
    for (const [tensor, { from, to }] of lifetimes) {
      if (node < from || to < node) continue;
      const slot = places.get(tensor)!;
      bySlot.set(slot, Math.max(bytesOf(tensor), bySlot.get(slot) ?? 0));
    }
    const bytes = [...bySlot.values()].reduce((sum, size) => sum + size, 0);
    if (bytes > most.bytes) Object.assign(most, { bytes, node });
  }
  return most;
}
