/**
 * The layout of a graph's temporary tensors: which nodes run, from when to when each tensor lives, and which tensors
 * share a buffer. Sizes alone decide; no device is asked.
 */
import type { Graph, Node } from './graph.js';
import { bytesOf, type Tensor } from './tensor.js';

export interface LayoutOptions {
  /** The tensors whose values are read after a run: their buffers are not reused. */
  readonly keep?: readonly Tensor[];
  /** Gives every tensor a buffer of its own, so that all values can be read after a run. */
  readonly keepAll?: boolean;
}

/** A buffer to be made. */
export interface Slot {
  /** The name of the tensor that it was opened for, the largest that it holds. */
  readonly name: string;
  readonly sizeBytes: number;
}

/**
 * A node, and the copies made before it runs: of inputs that it would overwrite in place, but that are still needed.
 */
export interface PlacedNode {
  readonly node: Node;
  readonly copies: readonly { readonly from: Tensor; readonly to: Tensor }[];
}

export interface Layout {
  /** The nodes in the order in which they run. */
  readonly nodes: readonly PlacedNode[];
  readonly slots: readonly Slot[];
  /** The index of each temporary tensor's slot. */
  readonly places: ReadonlyMap<Tensor, number>;
}

/** Values that follow each other in one place: a tensor and those that overwrite it in place. */
interface Storage {
  readonly name: string;
  readonly sizeBytes: number;
  /** The indices of the first and the last node that touch it. */
  readonly from: number;
  to: number;
  slot?: number;
}

export function layOut(graph: Graph, options: LayoutOptions = {}): Layout {
  const keep = new Set(options.keep ?? []);
  const keepAll = options.keepAll ?? false;
  const live = liveNodes(graph.nodes, keep, keepAll);
  const lastUse = new Map<Tensor, number>();
  live.forEach((node, i) => {
    for (const tensor of [...node.results, ...node.inputs]) lastUse.set(tensor, i);
  });
  const end = (tensor: Tensor) => (keepAll || keep.has(tensor) ? live.length : lastUse.get(tensor)!);

  const storageOf = new Map<Tensor, Storage>();
  const nodes = live.map((node, i): PlacedNode => {
    const copies: { from: Tensor; to: Tensor }[] = [];
    node.results.forEach((result, r) => {
      const source = node.outputs[r]!.inPlaceOf;
      let storage = source && end(source) === i ? storageOf.get(source) : undefined;
      if (!storage) {
        storage = { name: result.name, sizeBytes: bytesOf(result), from: i, to: i };
        if (source) copies.push({ from: source, to: result });
      }
      storage.to = Math.max(storage.to, end(result));
      storageOf.set(result, storage);
    });
    return { node, copies };
  });
  const slots = assignSlots([...new Set(storageOf.values())]);
  const places = new Map([...storageOf].map(([tensor, storage]) => [tensor, storage.slot!]));
  return { nodes, slots, places };
}

/** Returns the nodes that update something persistent or lead to a tensor that is kept. */
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

/**
 * Assigns slots to storages, the largest first. Each goes into the tightest slot that is free for as long as it lives,
 * or else into a new one ("greedy by size": Pisarchyk & Lee, 2020, Efficient memory management for deep neural net
 * inference). Slots are whole buffers, never parts of one, since Dawn tracks barriers per buffer.
 */
function assignSlots(storages: readonly Storage[]): Slot[] {
  const slots: { name: string; sizeBytes: number; readonly held: Storage[] }[] = [];
  for (const storage of [...storages].sort((a, b) => b.sizeBytes - a.sizeBytes)) {
    const isFree = ({ held }: { held: Storage[] }) =>
      held.every(({ from, to }) => to < storage.from || storage.to < from);
    let index = slots.findLastIndex(isFree); // slots are opened in order of size: the last is the tightest
    if (index < 0) index = slots.push({ name: storage.name, sizeBytes: storage.sizeBytes, held: [] }) - 1;
    slots[index]!.held.push(storage);
    storage.slot = index;
  }
  return slots;
}
