/**
 * The planner: it turns a traced graph into a program that can be replayed. The layout says which nodes run and which
 * tensors share a buffer. The plan makes these buffers, and compiles and binds the kernels once.
 */
import type { BufferRange, DeviceBuffer } from '../gpu/buffer.js';
import type { Device } from '../gpu/device.js';
import type { Memory } from '../gpu/memory.js';
import type { Command } from '../gpu/program.js';
import { bindCall, type KernelCall, type Operand, packParams } from '../kernels/call.js';
import { VariantTable } from '../kernels/variants.js';
import type { Graph, Node } from './graph.js';
import { type Layout, type LayoutOptions, layOut } from './layout.js';
import { rangeOf, type Tensor } from './tensor.js';

/** A step of the plan before it is compiled: a kernel with the place of its uniform, or a copy. */
type Step =
  | { readonly call: KernelCall; readonly params: BufferRange }
  | { readonly from: BufferRange; readonly to: BufferRange };

/** The buffers of a layout, and the steps that run on them. */
export interface Allocation {
  readonly buffers: readonly DeviceBuffer[];
  readonly places: ReadonlyMap<Tensor, DeviceBuffer>;
  readonly steps: readonly Step[];
  /** The index at which each node's steps begin; the last element is where the steps end. */
  readonly starts: readonly number[];
}

export interface PlanOptions extends LayoutOptions {
  /** The table that says which variants of kernels to take; by default the shipped ones. */
  readonly variants?: VariantTable | undefined;
}

/** What a command was made of: a node's kernel call, or one of the copies before it. */
export interface CommandSource {
  readonly node: Node;
  readonly call?: KernelCall | undefined;
}

export class Plan {
  /** The commands, to be submitted or made part of a larger program. */
  readonly commands: readonly Command[];
  /** The nodes in the order in which they run. */
  readonly nodes: readonly Node[];
  readonly #allocation: Allocation;

  constructor(commands: readonly Command[], nodes: readonly Node[], allocation: Allocation) {
    this.commands = commands;
    this.nodes = nodes;
    this.#allocation = allocation;
  }

  /** The buffers that the plan made: activations, their gradients, scratch, kernel parameters. */
  get buffers(): readonly DeviceBuffer[] {
    return this.#allocation.buffers;
  }

  /** Returns what one node runs: copies, then kernels. */
  commandsOf(node: number): readonly Command[] {
    const { starts } = this.#allocation;
    return this.commands.slice(starts[node]!, starts[node + 1]!);
  }

  /** Returns the number of the commands that have run when a node has. */
  endOf(node: number): number {
    return this.#allocation.starts[node + 1]!;
  }

  /** The source of every command, in order. */
  get sources(): CommandSource[] {
    const { steps, starts } = this.#allocation;
    return this.nodes.flatMap((node, i) =>
      steps.slice(starts[i]!, starts[i + 1]!).map(step => ({ node, call: 'call' in step ? step.call : undefined })),
    );
  }

  get bytes(): number {
    return bytesOfAllocation(this.#allocation);
  }

  /** Returns where a tensor's values are after a run. Only kept and persistent tensors are sure to hold theirs. */
  rangeOf(tensor: Tensor): Operand {
    const buffer = tensor.buffer ?? this.#allocation.places.get(tensor);
    if (!buffer) throw new Error(`the plan holds no tensor '${tensor.name}'`);
    return rangeOf(tensor, buffer);
  }

  destroy(): void {
    for (const buffer of this.buffers) buffer.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** Plans, compiles and binds the graph. */
export async function plan(device: Device, graph: Graph, options: PlanOptions = {}): Promise<Plan> {
  const layout = layOut(graph, options);
  const allocation = allocate(device, layout, options.variants);
  try {
    await device.settle(); // without memory there is nothing to bind
    const commands = await compile(device, allocation.steps);
    return new Plan(
      commands,
      layout.nodes.map(({ node }) => node),
      allocation,
    );
  } catch (error) {
    for (const buffer of allocation.buffers) buffer.destroy();
    throw error;
  }
}

export const bytesOfAllocation = ({ buffers }: Allocation): number =>
  buffers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

/** Makes the buffers of a layout, one of them for all uniforms, and launches its nodes on them. */
export function allocate(
  memory: Memory,
  { nodes, slots, places }: Layout,
  variants = new VariantTable(memory.adapter),
): Allocation {
  const buffers: DeviceBuffer[] = [];
  try {
    for (const { name, sizeBytes } of slots) buffers.push(memory.createBuffer(name, sizeBytes));
    const placed = new Map([...places].map(([tensor, slot]) => [tensor, buffers[slot]!]));
    const bind = (tensor: Tensor): Operand => {
      const buffer = tensor.buffer ?? placed.get(tensor);
      if (!buffer) throw new Error(`'${tensor.name}' is used before anything made it`);
      return rangeOf(tensor, buffer);
    };
    const byNode = nodes.map(({ node, copies }) => [
      ...copies.map(({ from, to }) => ({ from: bind(from), to: bind(to) })),
      ...node.launch(variants, bind, node.results),
    ]);
    const starts = [0];
    for (const { length } of byNode) starts.push(starts.at(-1)! + length);
    const launched = byNode.flat();
    const uniforms = makeUniforms(
      memory,
      launched.filter(step => 'source' in step),
    );
    buffers.push(uniforms.buffer);
    let next = 0;
    const steps = launched.map(
      (step): Step => ('source' in step ? { call: step, params: uniforms.ranges[next++]! } : step),
    );
    return { buffers, places: placed, steps, starts };
  } catch (error) {
    for (const buffer of buffers) buffer.destroy();
    throw error;
  }
}

/** The alignment that every device accepts for the offset of a uniform, in bytes. */
const UNIFORM_ALIGNMENT = 256;

function makeUniforms(memory: Memory, calls: readonly KernelCall[]): { buffer: DeviceBuffer; ranges: BufferRange[] } {
  const packed = calls.map(packParams);
  const offsets: number[] = [];
  let bytes = 0;
  for (const params of packed) {
    offsets.push(bytes);
    bytes += Math.ceil(params.byteLength / UNIFORM_ALIGNMENT) * UNIFORM_ALIGNMENT;
  }
  const buffer = memory.createBuffer('kernel parameters', bytes, 'uniform');
  const words = new Uint32Array(bytes / 4);
  packed.forEach((params, i) => {
    words.set(params, offsets[i]! / 4);
  });
  memory.write(buffer, words);
  const ranges = packed.map(({ byteLength }, i) => ({ buffer, offsetBytes: offsets[i]!, sizeBytes: byteLength }));
  return { buffer, ranges };
}

/** Compiles all kernels at once, and binds them. */
async function compile(device: Device, steps: readonly Step[]): Promise<Command[]> {
  return Promise.all(
    steps.map(async (step): Promise<Command> => {
      return 'call' in step ? bindCall(device, step.call, step.params) : { kind: 'copy', ...step };
    }),
  );
}
