/**
 * The planner: from a traced graph to a program that can be replayed. Nodes nobody needs are dropped, temporary tensors
 * get buffers by lifetime (a buffer is reused once its tensor's last reader has run; whole buffers, never parts of one,
 * since Dawn tracks barriers per buffer), and kernels are compiled and bound once.
 */
import type { BufferRange, DeviceBuffer } from '../gpu/buffer.js';
import type { Device } from '../gpu/device.js';
import type { Command } from '../gpu/program.js';
import { type KernelCall, type Operand, packParams } from '../kernels/call.js';
import { KernelTable } from '../kernels/table.js';
import type { Graph, Node } from './graph.js';
import { bytesOf, rangeOf, type Tensor } from './tensor.js';

export interface PlanOptions {
  /** Tensors whose values are read after a run: their buffers are not reused. */
  readonly keep?: readonly Tensor[];
  /** Gives every tensor a buffer of its own, so that all values can be read after a run. */
  readonly keepAll?: boolean;
  /** Which variants of kernels to take; by default the shipped ones. */
  readonly kernels?: KernelTable;
}

/** A step of the plan before it is compiled. */
type Step =
  | { readonly call: KernelCall; readonly node: string }
  | { readonly from: BufferRange; readonly to: BufferRange };

export class Plan {
  /** To be submitted, or made part of a larger program. */
  readonly commands: readonly Command[];
  /** Nodes in the order in which they run. */
  readonly nodes: readonly Node[];
  /** Bytes of the buffers that the plan made: activations, their gradients, scratch. */
  readonly bytes: number;
  readonly #buffers: readonly DeviceBuffer[];
  readonly #places: ReadonlyMap<Tensor, DeviceBuffer>;

  constructor(
    commands: readonly Command[],
    nodes: readonly Node[],
    buffers: readonly DeviceBuffer[],
    places: ReadonlyMap<Tensor, DeviceBuffer>,
  ) {
    this.commands = commands;
    this.nodes = nodes;
    this.bytes = buffers.reduce((sum, buffer) => sum + buffer.sizeBytes, 0);
    this.#buffers = buffers;
    this.#places = places;
  }

  /** Where a tensor's values are after a run. Only kept and persistent tensors are sure to hold theirs. */
  bufferOf(tensor: Tensor): DeviceBuffer {
    const buffer = tensor.buffer ?? this.#places.get(tensor);
    if (!buffer) throw new Error(`the plan holds no tensor '${tensor.name}'`);
    return buffer;
  }

  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}

/** Plans, compiles and binds the graph. */
export async function plan(device: Device, graph: Graph, options: PlanOptions = {}): Promise<Plan> {
  const keep = new Set(options.keep ?? []);
  const nodes = liveNodes(graph.nodes, keep, options.keepAll ?? false);
  const pool = new Pool(device);
  try {
    const kernels = options.kernels ?? new KernelTable(device.adapter);
    const steps = placeTensors(kernels, nodes, keep, options.keepAll ?? false, pool);
    const { commands, uniforms } = await compile(device, steps);
    return new Plan(commands, nodes, [...pool.buffers, uniforms], pool.places);
  } catch (error) {
    for (const buffer of pool.buffers) buffer.destroy();
    throw error;
  }
}

/** Nodes that update something persistent or lead to a tensor that is kept. */
function liveNodes(all: readonly Node[], keep: ReadonlySet<Tensor>, keepAll: boolean): Node[] {
  const needed = new Set(keep);
  const live: Node[] = [];
  for (const node of [...all].reverse()) {
    const isLive = keepAll || (node.updates?.length ?? 0) > 0 || node.results.some(result => needed.has(result));
    if (!isLive) continue;
    for (const input of node.inputs) needed.add(input);
    live.push(node);
  }
  return live.reverse();
}

/** Buffers of temporary tensors. A free one is reused for what needs at least half of it. */
class Pool {
  readonly buffers: DeviceBuffer[] = [];
  readonly places = new Map<Tensor, DeviceBuffer>();
  readonly #free: DeviceBuffer[] = [];
  readonly #device: Device;

  constructor(device: Device) {
    this.#device = device;
  }

  allocate(tensor: Tensor): void {
    const bytes = bytesOf(tensor);
    const fitting = this.#free
      .filter(buffer => buffer.sizeBytes >= bytes && buffer.sizeBytes <= 2 * Math.max(bytes, 16))
      .sort((a, b) => a.sizeBytes - b.sizeBytes)[0];
    if (fitting) this.#free.splice(this.#free.indexOf(fitting), 1);
    const buffer = fitting ?? this.#device.createBuffer(tensor.name, bytes);
    if (!fitting) this.buffers.push(buffer);
    this.places.set(tensor, buffer);
  }

  free(tensor: Tensor): void {
    this.#free.push(this.places.get(tensor)!);
  }

  bind = (tensor: Tensor): Operand => {
    const buffer = tensor.buffer ?? this.places.get(tensor);
    if (!buffer) throw new Error(`'${tensor.name}' is used before anything made it`);
    return rangeOf(tensor, buffer);
  };
}

function placeTensors(
  kernels: KernelTable,
  nodes: readonly Node[],
  keep: ReadonlySet<Tensor>,
  keepAll: boolean,
  pool: Pool,
): Step[] {
  const lastUse = new Map<Tensor, number>();
  nodes.forEach((node, i) => {
    for (const tensor of [...node.results, ...node.inputs]) lastUse.set(tensor, i);
  });
  const dies = (tensor: Tensor, i: number) =>
    !keepAll && !tensor.buffer && !keep.has(tensor) && lastUse.get(tensor) === i;
  const steps: Step[] = [];
  nodes.forEach((node, i) => {
    const takenOver = new Set<Tensor>();
    node.results.forEach((result, r) => {
      const source = node.outputs[r]!.inPlaceOf;
      if (source && dies(source, i)) {
        pool.places.set(result, pool.places.get(source)!);
        takenOver.add(source);
      } else {
        pool.allocate(result);
        if (source) steps.push({ from: pool.bind(source), to: pool.bind(result) });
      }
    });
    for (const call of node.launch(kernels, pool.bind, node.results)) steps.push({ call, node: node.op });
    for (const tensor of new Set([...node.inputs, ...node.results])) {
      if (dies(tensor, i) && !takenOver.has(tensor)) pool.free(tensor);
    }
  });
  return steps;
}

/** What every device accepts as the offset of a uniform. */
const UNIFORM_ALIGNMENT = 256;

/** Compiles all kernels at once, puts all uniforms into one buffer, and binds. */
async function compile(
  device: Device,
  steps: readonly Step[],
): Promise<{ commands: Command[]; uniforms: DeviceBuffer }> {
  const calls = steps.flatMap(step => ('call' in step ? [step.call] : []));
  const pipelines = await Promise.all(calls.map(call => device.compile(call.label, call.source)));
  const packed = calls.map(call => packParams(call.params));
  const offsets: number[] = [];
  let bytes = 0;
  for (const params of packed) {
    offsets.push(bytes);
    bytes += Math.ceil(params.byteLength / UNIFORM_ALIGNMENT) * UNIFORM_ALIGNMENT;
  }
  const uniforms = device.createBuffer('kernel parameters', bytes, 'uniform');
  const words = new Uint32Array(bytes / 4);
  packed.forEach((params, i) => {
    words.set(params, offsets[i]! / 4);
  });
  device.write(uniforms, words);
  let next = 0;
  const commands = steps.map((step): Command => {
    if (!('call' in step)) return { kind: 'copy', from: step.from, to: step.to };
    const { call } = step;
    const i = next++;
    const params = { buffer: uniforms, offsetBytes: offsets[i]!, sizeBytes: packed[i]!.byteLength };
    return {
      kind: 'dispatch',
      label: call.label,
      pipeline: pipelines[i]!,
      bindGroup: device.bind(pipelines[i]!, [...call.buffers, params]),
      workgroups: call.workgroups,
    };
  });
  return { commands, uniforms };
}
