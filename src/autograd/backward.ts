/**
 * The backward walk: it takes the nodes in reverse, applies each rule once, and adds up a tensor's gradients as they
 * arrive.
 */
import { accumulate, add } from '../kernels/add.js';
import type { Graph, Node, PendingGradients, Segment } from './graph.js';
import { expectShape, sizeOf, type Tensor } from './tensor.js';

/**
 * Traces the gradient of `loss`. This is a scalar that an op with a fused gradient made (the head's loss, whose rule
 * needs no seed), or any tensor whose own gradient is `seed`. Gradients of parameters accumulate into their `gradient`
 * tensors; those of other tensors are written once. Segments (see `Graph.checkpoint`) are traced again from their input
 * when the walk comes to them.
 * @throws Error naming the op when a gradient reaches one that has no rule.
 */
export function backward(graph: Graph, loss: Tensor, seed?: Tensor): void {
  if (seed) expectShape('backward', 'seed', seed, loss.shape);
  const walk = new Walk(graph, loss);
  if (seed) walk.gradients.set(loss, seed);
  walk.back([...graph.nodes]);
  for (const [tensor, gradient] of walk.gradients) {
    if (tensor.gradient) accumulateInto(graph, tensor.gradient, gradient);
  }
}

class Walk implements PendingGradients {
  /** The gradients that have arrived at tensors whose nodes the walk has not come to. */
  readonly gradients = new Map<Tensor, Tensor>();
  readonly #graph: Graph;
  readonly #loss: Tensor;
  /** The tensors that depend on a parameter. */
  readonly #needed = new Set<Tensor>();

  constructor(graph: Graph, loss: Tensor) {
    this.#graph = graph;
    this.#loss = loss;
  }

  take(tensor: Tensor): Tensor | undefined {
    const gradient = this.gradients.get(tensor);
    this.gradients.delete(tensor);
    return gradient;
  }

  /** Applies the rules of nodes, given in forward order, from the last to the first. */
  back(nodes: readonly Node[]): void {
    this.#findNeeded(nodes);
    const walked = new Set<Segment>();
    for (const node of [...nodes].reverse()) {
      const { segment } = node;
      if (!segment) this.#apply(node);
      else if (!walked.has(segment)) this.#retrace(segment);
      if (!segment) continue;
      walked.add(segment);
      const leaked = node.results.find(result => this.gradients.has(result));
      if (leaked) throw new Error(`'${leaked.name}' is used outside the segment that made it; only its output may be`);
    }
  }

  #findNeeded(nodes: readonly Node[]): void {
    const needed = this.#needed;
    for (const node of nodes) {
      for (const input of node.inputs) if (input.gradient) needed.add(input);
      if (node.inputs.some(input => needed.has(input))) for (const result of node.results) needed.add(result);
    }
  }

  /** Traces a segment again, hands its output the gradient that arrived, and walks back through the new nodes. */
  #retrace({ input, trace, output }: Segment): void {
    const arriving = this.take(output!);
    if (!arriving) return;
    const graph = this.#graph;
    const start = graph.nodes.length;
    const scope = graph.scope;
    const again = trace(input);
    graph.scope = scope;
    this.gradients.set(again, arriving);
    this.back(graph.nodes.slice(start));
  }

  #apply(node: Node): void {
    const graph = this.#graph;
    const isLoss = node.results.includes(this.#loss);
    const arriving = node.results.map(result => this.take(result));
    if (!isLoss && arriving.every(gradient => gradient === undefined)) return;
    if (!node.inputs.some(input => this.#needed.has(input))) return;
    if (!node.backward) throw new Error(`op '${node.op}' has no backward rule, but a gradient reaches it`);
    const scope = graph.scope;
    graph.scope = `${node.results[0]!.name}.gradient.`;
    const leaving = node.backward(arriving, this, node.results);
    node.inputs.forEach((input, i) => {
      const gradient = leaving[i];
      if (!gradient || !this.#needed.has(input)) return;
      expectShape(`${node.op} backward`, 'gradient', gradient, input.shape);
      const earlier = this.take(input);
      this.gradients.set(input, earlier ? addTensors(graph, earlier, gradient) : gradient);
    });
    graph.scope = scope;
  }
}

function addTensors(graph: Graph, a: Tensor, b: Tensor): Tensor {
  return graph.add({
    op: 'add',
    inputs: [a, b],
    outputs: [{ shape: a.shape, dtype: a.dtype }],
    launch: (variants, bind, [y]) => add(variants, sizeOf(a.shape), { a: bind(a), b: bind(b), y: bind(y!) }),
  })[0]!;
}

function accumulateInto(graph: Graph, total: Tensor, gradient: Tensor): void {
  graph.add({
    op: 'accumulate',
    inputs: [gradient],
    outputs: [],
    updates: [total],
    launch: (variants, bind) => accumulate(variants, sizeOf(total.shape), { a: bind(gradient), y: bind(total) }),
  });
}
