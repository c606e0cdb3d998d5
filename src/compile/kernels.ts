/** The kernels that a model's training step, evaluation and generation run on an adapter, each source once. */
import type { Graph } from '../autograd/graph.js';
import { layOut } from '../autograd/layout.js';
import { allocate } from '../autograd/plan.js';
import type { Tensor } from '../autograd/tensor.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { MemoryCount } from '../gpu/memory.js';
import type { KernelCall } from '../kernels/call.js';
import { withLanes } from '../kernels/lanes.js';
import { type VariantChoices, VariantTable } from '../kernels/variants.js';
import { ModelTensors } from '../model/tensors.js';
import { bytesOfCall } from '../profile/cost.js';
import { tracedGraphs } from '../profile/plans.js';
import { profiledOf } from '../profile/profiled.js';
import { SUBJECTS } from '../profile/subject.js';
import type { RunFields } from '../run/config.js';
import { describedModel, tensorsOf } from '../run/step-shape.js';
import { showVariant } from '../tune/candidates.js';

/** A kernel to be compiled. */
export interface Kernel {
  readonly label: string;
  /** The shipped variant as the tuner shows it; empty for a kernel that has none. */
  readonly variant: string;
  readonly source: string;
  readonly work: Work;
}

/** What a call does: of those with the same source, the one that moves the most bytes. */
export interface Work {
  readonly flops?: number | undefined;
  /** The bytes that it binds, each moved once; undefined where it looks up a part of them. */
  readonly bytes?: number | undefined;
  readonly workgroups: number;
  /** Those of all workgroups. */
  readonly threads: number;
  /** How often each thread goes round its loops, on average, where that is counted. */
  readonly rounds?: number | undefined;
}

/**
 * Returns the kernels of the models that fields describe, as shipped. With `names`, those alone that begin with one of
 * them.
 * @throws UserError when fields describe no model, or the adapter has no f16 that they ask for.
 */
export function kernelsOf(adapter: AdapterDescription, models: readonly RunFields[], names: readonly string[]) {
  const kernels = new Map<string, Kernel>();
  for (const fields of models) {
    const config = describedModel(fields);
    for (const what of SUBJECTS) {
      const memory = new MemoryCount(adapter);
      const { precision, weightType } = fields;
      const kept = what === 'step' ? tensorsOf(fields, config) : { precision, weightType };
      const options = { ...kept, trainable: what === 'step' };
      const model = new ModelTensors(memory, config, options);
      for (const { graph, keep } of tracedGraphs(memory, model, profiledOf(what, fields, config, adapter))) {
        for (const kernel of kernelsOfGraph(memory, graph, keep)) {
          const isAsked = names.length === 0 || names.some(name => kernel.label.startsWith(name));
          const known = kernels.get(kernel.source);
          if (isAsked && (!known || isLarger(kernel.work, known.work))) kernels.set(kernel.source, kernel);
        }
      }
    }
  }
  return [...kernels.values()];
}

const isLarger = (a: Work, b: Work): boolean => (a.bytes ?? a.threads) > (b.bytes ?? b.threads);

/** Launches each node with a table of its own, which then tells the variants that its calls have. */
function kernelsOfGraph(memory: MemoryCount, graph: Graph, keep: readonly Tensor[] = []): Kernel[] {
  const layout = layOut(graph, { keep });
  const kernels: Kernel[] = [];
  const nodes = layout.nodes.map(({ node, copies }) => ({
    copies,
    node: {
      ...node,
      launch(_: VariantTable, ...rest: [Parameters<typeof node.launch>[1], Parameters<typeof node.launch>[2]]) {
        const table = new VariantTable(memory.adapter);
        const calls = node.launch(table, ...rest);
        kernels.push(...calls.map(call => kernelOf(memory.adapter, call, table.used)));
        return calls;
      },
    },
  }));
  allocate(memory, { ...layout, nodes });
  return kernels;
}

function kernelOf(adapter: AdapterDescription, call: KernelCall, used: VariantChoices): Kernel {
  const { label, source, lanes, flops, rounds } = call;
  const workgroups = call.workgroups.reduce((all, count) => all * count, 1);
  // a product is asked for by its form, any other kernel by its name, which its label has more behind
  const asked = label.startsWith('matmul') ? label.split(' ')[1]! : label;
  const variants = Object.values(used)
    .flatMap(choices => Object.entries(choices))
    .flatMap(([key, variant]) => (asked.startsWith(key.split(' ', 1)[0]!) ? [variant] : []));
  return {
    label,
    source: withLanes(adapter, source, lanes),
    variant: [...new Set(variants.map(showVariant))].join(', '),
    work: { flops, bytes: bytesOfCall(call), workgroups, threads: workgroups * workgroupSize(source), rounds },
  };
}

/** The threads of a workgroup: a product of constants, which may be products themselves. */
function workgroupSize(source: string): number {
  const constants = new Map(
    [...source.matchAll(/^const (\w+) = ([\w *]+);/gm)].map(([, name, value]) => [name, value]),
  );
  const threadsOf = (product: string): number =>
    product.split('*').reduce((all, factor) => {
      const value = constants.get(factor.trim());
      return all * (value === undefined ? Number.parseInt(factor, 10) : threadsOf(value));
    }, 1);
  return threadsOf(/@workgroup_size\(([^)]*)\)/.exec(source)![1]!);
}
