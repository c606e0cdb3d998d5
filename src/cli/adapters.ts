import type { Command } from 'commander';
import { SIZE_CONTROL, showLanes } from '../gpu/adapters.js';
import { chooseAdapter } from '../index.js';
import { defineAction } from './command.js';
import { makeTable } from './table.js';

const SHOWN_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
] as const;
const SHOWN_FEATURES = [
  'subgroups',
  'shader-f16',
  'timestamp-query',
  'chromium-experimental-subgroup-matrix',
  SIZE_CONTROL,
];

/** Adds the command `adapters`. */
export function addAdaptersCommand(program: Command): void {
  const command = program
    .command('adapters')
    .description('list the adapters of this machine, and say which one is used and why')
    .option('--adapter <name>', "choose by a part of the name, or by number: '#2' (or set BABELGRAD_ADAPTER)");
  defineAction<{ adapter?: string }>(command, async (terminal, options) => {
    const { choice } = await chooseAdapter(options.adapter);
    for (const [i, adapter] of choice.adapters.entries()) {
      const table = makeTable([]);
      table.push(
        ['adapter', `#${i + 1} ${adapter.name}`],
        ...(adapter.hiddenBy ? [['cannot be opened', `hidden by '${adapter.hiddenBy}'`] as [string, string]] : []),
        ['kind', adapter.kind],
        ['driver', adapter.driver],
        ['subgroup', showLanes(adapter.subgroupSizes)],
        ['features', SHOWN_FEATURES.filter(feature => adapter.features.includes(feature)).join(', ') || 'none'],
        ...SHOWN_LIMITS.map(limit => [limit, String(adapter.limits[limit])] as [string, string]),
      );
      terminal.print(table.toString());
    }
    terminal.print(`chosen: ${choice.chosen.name} (${choice.reason})`);
    return { chosen: choice.chosen.name, reason: choice.reason, adapters: choice.adapters };
  });
}
