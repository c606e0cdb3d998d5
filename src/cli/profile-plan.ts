/** Prints the result of `profile --plan`. */
import { showShape } from '../autograd/tensor.js';
import type { Lifetime, ListedTensor, PlanListing } from '../profile/plan-listing.js';
import type { PlanListings } from '../profile/plans.js';
import type { CommandResult, Terminal } from './command.js';
import { showBytes } from './numbers.js';
import { textTable } from './table.js';

export function showPlans(terminal: Terminal, listings: PlanListings): CommandResult {
  const { plans, persistentBytes, totalBytes, refusals } = listings;
  for (const plan of plans) {
    terminal.print(`${plan.name}${plan.times > 1 ? `, ${plan.times} times` : ''}: ${plan.nodes.length} nodes`);
    terminal.print(textTable(['node', 'type', 'bytes', 'place', 'alive'], nodeRows(plan)));
    terminal.print(textTable(['slot', 'bytes', 'holds, from node to node'], slotRows(plan)));
  }
  for (const { name, bytes, slots, live } of plans) {
    terminal.print(
      `${name}: ${showBytes(bytes)} in ${slots.length} slots and kernel parameters; ` +
        `${showBytes(live.bytes)} alive at most, at node ${live.node}`,
    );
  }
  terminal.print(`weights and all else that outlasts a run: ${showBytes(persistentBytes)}`);
  terminal.print(`peak: ${showBytes(totalBytes)}, all of these together`);
  for (const refused of refusals) terminal.print(`this adapter would refuse: ${refused}`);
  return { ...listings };
}

/** Returns a row for each node, with its kernels, and one for each of its tensors. */
function nodeRows({ nodes }: PlanListing): string[][] {
  const row = (use: string, tensor: ListedTensor) => [
    `  ${use} ${tensor.name}`,
    `${tensor.dtype} ${showShape(tensor.shape)}`,
    showBytes(tensor.bytes),
    tensor.buffer === undefined ? `slot ${tensor.slot}` : `in '${tensor.buffer}'`,
    tensor.alive ? nodesOf(tensor.alive) : '',
  ];
  return nodes.flatMap(({ name, kernels, reads, makes, updates, copies }, i) => [
    [`${i} ${name}`, kernels.join(', '), '', '', ''],
    ...copies.map(copied => [`  copies ${copied}`, '', '', '', '']),
    ...reads.map(tensor => row('reads', tensor)),
    ...makes.map(tensor => row('makes', tensor)),
    ...updates.map(tensor => row('updates', tensor)),
  ]);
}

const nodesOf = ({ from, to, kept }: Lifetime): string =>
  kept ? `${from}–end` : from === to ? `${from}` : `${from}–${to}`;

const slotRows = ({ slots }: PlanListing): string[][] =>
  slots.map(({ bytes, holds }, slot) => [
    String(slot),
    showBytes(bytes),
    holds.map(one => `${one.name} (${nodesOf(one)})`).join(', '),
  ]);
