/** The backward walk: nodes in reverse, each rule once, gradients of a tensor added up as they arrive. */
import { accumulate, add } from '../kernels/elementwise.js';
import type { Graph } from './graph.js';
import { expectShape, sizeOf, type Tensor } from './tensor.js';

/**
 * Traces the gradient of `loss`, a scalar that an op with a fused gradient made (cross-entropy: its rule needs no seed).
 * Gradients of parameters accumulate into their `gradient` tensors; those of other tensors are written once.
 * @throws Error naming the op when a gradient reaches one that has no rule.
 */
export function backward(graph: Graph, loss: Tensor): void {
  const forward = [...graph.nodes];
  const needed = needsGradient(forward);
  const gradients = new Map<Tensor, Tensor>();
  const pending = {
    take(input: Tensor) {
      const gradient = gradients.get(input);
      gradients.delete(input);
      return gradient;
    },
  };
  for (const node of forward.reverse()) {
    const isLoss = node.results.includes(loss);
    const arriving = node.results.map(result => pending.take(result));
    if (!isLoss && arriving.every(gradient => gradient === undefined)) continue;
    if (!node.inputs.some(input => needed.has(input))) continue;
    if (!node.backward) throw new Error(`op '${node.op}' has no backward rule, but a gradient reaches it`);
    const scope = graph.scope;
    graph.scope = `${node.results[0]!.name}.gradient.`;
    const leaving = node.backward(arriving, pending, node.results);
    node.inputs.forEach((input, i) => {
      const gradient = leaving[i];
      if (!gradient || !needed.has(input)) return;
      expectShape(`${node.op} backward`, 'gradient', gradient, input.shape);
      const earlier = pending.take(input);
      gradients.set(input, earlier ? addTensors(graph, earlier, gradient) : gradient);
    });
    graph.scope = scope;
  }
  for (const [tensor, gradient] of gradients) if (tensor.gradient) accumulateInto(graph, tensor.gradient, gradient);
}

/** Tensors that depend on a parameter. */
function needsGradient(nodes: Graph['nodes']): Set<Tensor> {
  const needed = new Set<Tensor>();
  for (const node of nodes) {
    for (const input of node.inputs) if (input.gradient) needed.add(input);
    if (node.inputs.some(input => needed.has(input))) for (const result of node.results) needed.add(result);
  }
  return needed;
}

function addTensors(graph: Graph, a: Tensor, b: Tensor): Tensor {
  return graph.add({
    op: 'add',
    inputs: [a, b],
    outputs: [{ shape: a.shape, dtype: a.dtype }],
    launch: (kernels, bind, [y]) => add(kernels, sizeOf(a.shape), { a: bind(a), b: bind(b), y: bind(y!) }),
  })[0]!;
}

function accumulateInto(graph: Graph, total: Tensor, gradient: Tensor): void {
  graph.add({
    op: 'accumulate',
    inputs: [gradient],
    outputs: [],
    updates: [total],
    launch: (kernels, bind) => accumulate(kernels, sizeOf(total.shape), { a: bind(gradient), y: bind(total) }),
  });
}
