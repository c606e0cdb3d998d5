import { SIZE_CONTROL, showLanes } from '../gpu/adapters.js';
import { chooseAdapter } from '../index.js';
import type { CommandResult, Terminal } from './command.js';
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

/** The command `adapters`. */
export async function adapters(terminal: Terminal, options: { adapter?: string }): Promise<CommandResult> {
  const { choice } = await chooseAdapter(options.adapter);
  for (const adapter of choice.adapters) {
    const table = makeTable([]);
    table.push(
      ['adapter', `#${adapter.number} ${adapter.name}`],
      ...(adapter.pci ? [['PCI address', adapter.pci] as [string, string]] : []),
      ...(adapter.uuid ? [['UUID', adapter.uuid] as [string, string]] : []),
      ...(adapter.hiddenBy ? [['cannot be opened', `hidden by '${adapter.hiddenBy}'`] as [string, string]] : []),
      ...Object.entries(adapter.order ?? {}).map(
        ([name, value]) => ['opened by', `${name}=${value}`] as [string, string],
      ),
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
}
