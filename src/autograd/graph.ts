/**
 * The graph: the nodes that ops traced, in order. A node has a name, its tensors, a launch that turns bound buffers
 * into kernel calls, and a backward rule that adds further nodes.
 */
import type { KernelCall, Operand } from '../kernels/call.js';
import type { VariantTable } from '../kernels/variants.js';
import type { DType, Shape, Tensor } from './tensor.js';

/** The output of a node: a new tensor, or the buffer of an input, which the node overwrites in place. */
export interface OutputSpec {
  readonly shape: Shape;
  readonly dtype?: DType;
  /** The input whose buffer the output takes over; it is copied first where it is still needed. */
  readonly inPlaceOf?: Tensor;
}

/**
 * The gradients that reach a node's inputs from the nodes behind it. A rule may `take` the one for an input and fold it
 * into a kernel (as an addend); the walk adds those that no rule takes.
 */
export interface PendingGradients {
  take(input: Tensor): Tensor | undefined;
}

export interface NodeSpec {
  readonly op: string;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly OutputSpec[];
  /** The persistent tensors that the node adds to or overwrites: gradients, weights, sums. They keep the node alive. */
  readonly updates?: readonly Tensor[];
  launch(variants: VariantTable, bind: (tensor: Tensor) => Operand, outputs: readonly Tensor[]): KernelCall[];
  /**
   * Returns the gradients of the inputs, in order, from those of the outputs. An input's gradient is undefined where
   * there is none, or where it went straight into a parameter's gradient.
   */
  backward?(
    gradients: readonly (Tensor | undefined)[],
    pending: PendingGradients,
    outputs: readonly Tensor[],
  ): (Tensor | undefined)[];
}

export interface Node extends NodeSpec {
  /** The op of the node, after what it was traced for: `model.layers.3.mlp.down_proj.linear`. */
  readonly name: string;
  readonly results: readonly Tensor[];
  readonly segment?: Segment | undefined;
}

/** Nodes that the backward walk traces again from `input` instead of keeping what they made. */
export interface Segment {
  readonly input: Tensor;
  readonly trace: (input: Tensor) => Tensor;
  /** The segment's result; known once it is traced. */
  output?: Tensor;
}

export class Graph {
  readonly nodes: Node[] = [];
  /** The prefix of the names of what is traced, for instance `model.layers.3.`. */
  scope = '';
  /** The segment that is being traced. */
  #segment: Segment | undefined;

  /** Traces a node and returns its outputs. */
  add(spec: NodeSpec): Tensor[] {
    const name = `${this.scope}${spec.op}`;
    const results = spec.outputs.map(({ shape, dtype = 'f32' }, i) => ({
      name: spec.outputs.length > 1 ? `${name}.${i}` : name,
      shape,
      dtype,
    }));
    this.nodes.push({ ...spec, name, results, segment: this.#segment });
    return results;
  }

  /**
   * Traces `trace(input)` as a segment (activation checkpointing: Chen et al., 2016). The backward walk keeps no tensor
   * of it but `input`, and runs the segment again when it comes to it. `trace` must trace the same nodes each time, and
   * only its result may be used outside. A segment within another is part of the outer one until that is traced again.
   */
  checkpoint(input: Tensor, trace: (input: Tensor) => Tensor): Tensor {
    if (this.#segment) return trace(input);
    const segment: Segment = { input, trace };
    this.#segment = segment;
    try {
      segment.output = trace(input);
    } finally {
      this.#segment = undefined;
    }
    return segment.output;
  }
}
