/** Prints the result of `profile --plan`. */
import { showShape } from '../autograd/tensor.js';
import type { Lifetime, ListedNode, ListedSlot, ListedTensor } from '../profile/plan-listing.js';
import type { PlanListings } from '../profile/plans.js';
import type { CommandResult, Terminal } from './command.js';
import { showBytes } from './numbers.js';

export function showPlans(terminal: Terminal, listings: PlanListings): CommandResult {
  const { plans, persistentBytes, totalBytes, refusals } = listings;
  for (const { name, times, nodes, slots } of plans) {
    terminal.print(`${name}${times > 1 ? `, ${times} times` : ''}: ${nodes.length} nodes`);
    for (const line of nodes.flatMap(nodeLines)) terminal.print(line);
    for (const line of slots.map(slotLine)) terminal.print(line);
    terminal.print();
  }
  for (const { name, bytes, slots, live } of plans) {
    const alive = `; ${showBytes(live.bytes)} alive at most, at node ${live.node}`;
    terminal.print(
      `${name}: ${showBytes(bytes)} in ${slots.length} slots and kernel parameters${slots.length > 0 ? alive : ''}`,
    );
  }
  terminal.print(`weights and all else that outlasts a run: ${showBytes(persistentBytes)}`);
  terminal.print(`peak: ${showBytes(totalBytes)}, all of these together`);
  for (const refused of refusals) terminal.print(`this adapter would refuse: ${refused}`);
  return { ...listings };
}

/** Returns the lines of a node: its kernels, and each of its tensors. */
const nodeLines = ({ name, kernels, reads, makes, updates, copies }: ListedNode, i: number): string[] => [
  `${i} ${name}: ${kernels.join(', ')}`,
  ...copies.map(copied => `  copies ${copied}, which it would overwrite`),
  ...reads.map(tensor => `  reads ${tensorWords(tensor)}`),
  ...makes.map(tensor => `  makes ${tensorWords(tensor)}`),
  ...updates.map(tensor => `  updates ${tensorWords(tensor)}`),
];

function tensorWords({ name, dtype, shape, bytes, buffer, slot, alive }: ListedTensor): string {
  const place = alive ? `slot ${slot} (${nodesOf(alive)})` : `in '${buffer}'`;
  return `${name}, ${dtype} ${showShape(shape)}, ${showBytes(bytes)}, ${place}`;
}

const slotLine = ({ bytes, holds }: ListedSlot, slot: number): string =>
  `slot ${slot}, ${showBytes(bytes)}: ${holds.map(one => `${one.name} (${nodesOf(one)})`).join(', ')}`;

const nodesOf = ({ from, to, kept }: Lifetime): string =>
  kept ? `${from}–end` : from === to ? `${from}` : `${from}–${to}`;
