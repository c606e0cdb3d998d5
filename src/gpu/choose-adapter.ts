/** Which adapter of this machine is used. */
import { UserError } from '../errors.js';
import { type AdapterDescription, type LiveAdapter, listAdapters } from './adapters.js';
import { prepareDrivers } from './drivers.js';

/** The adapter that was chosen, the reason, and the others. */
export interface AdapterChoice {
  readonly chosen: AdapterDescription;
  readonly reason: string;
  readonly adapters: readonly AdapterDescription[];
}

/** The names that people use for a driver, and what its adapter calls itself. */
const ALIASES: Readonly<Record<string, string>> = { lavapipe: 'llvmpipe' };

/**
 * Chooses an adapter: `requested` (or the environment's BABELGRAD_ADAPTER) is a part of its name, driver or kind, or
 * `#2` for the second of the list, or `pci:0000:03:00.0`, or `uuid:` and its UUID. Otherwise a hardware adapter comes
 * before a software driver of the system, and that before the bundled one.
 * @throws UserError when there is no adapter, or none that matches, or only one that Dawn cannot open.
 */
export async function chooseAdapter(
  requested = process.env.BABELGRAD_ADAPTER,
  checked = false,
): Promise<{ live: LiveAdapter; choice: AdapterChoice }> {
  const all = await listAdapters(checked);
  const adapters = all.map(live => live.description);
  if (all.length === 0) throw new UserError(await noAdapterMessage());
  // those that can be opened come before the others
  const ordered = [...all].sort((a, b) => Number(!!a.description.hiddenBy) - Number(!!b.description.hiddenBy));
  const live = requested ? found(ordered, requested) : ordered[0];
  if (!live) throw new UserError(absentMessage(requested!, adapters));
  const chosen = live.description;
  if (chosen.hiddenBy) throw new UserError(hiddenMessage(chosen));
  const why = requested
    ? `asked for by '${requested}'`
    : chosen.kind === 'hardware'
      ? 'hardware comes before software'
      : `no hardware adapter was found; ${chosen.kind} is the best of what is left`;
  const alike = adapters.filter(({ name }) => name === chosen.name);
  const which = alike.indexOf(chosen) + 1;
  const reason = alike.length > 1 ? `${why}; number ${which} of ${alike.length} of this name` : why;
  return { live, choice: { chosen, reason, adapters } };
}

/** Returns the adapter of a number, PCI address or UUID; else the first that has a name, or a part of it. */
function found(all: readonly LiveAdapter[], requested: string): LiveAdapter | undefined {
  const first = (fits: (adapter: AdapterDescription) => boolean) => all.find(({ description }) => fits(description));
  const [, number] = /^#(\d+)$/.exec(requested) ?? [];
  if (number !== undefined) return first(adapter => adapter.number === Number(number));
  const [, kind, id] = /^(pci|uuid):(.+)$/i.exec(requested) ?? [];
  if (id !== undefined) {
    return kind!.toLowerCase() === 'pci'
      ? first(({ pci }) => pci !== undefined && pci === pciOf(id))
      : first(({ uuid }) => uuid !== undefined && uuid === id.toLowerCase().replace(/^gpu-/, ''));
  }
  return first(({ name }) => name === requested) ?? first(adapter => matches(adapter, requested));
}

/** Returns a PCI address as Vulkan's list has it: the domain may be left out (`03:00.0`), or have eight digits. */
function pciOf(address: string): string | undefined {
  const [, domain = '0', place] =
    /^(?:([\da-f]{1,8}):)?([\da-f]{2}:[\da-f]{2}\.[0-7])$/.exec(address.toLowerCase()) ?? [];
  return place && `${domain.replace(/^0+/, '').padStart(4, '0')}:${place}`;
}

const absentMessage = (requested: string, adapters: readonly AdapterDescription[]): string => {
  const names = adapters.map(
    ({ number, name, driver, pci }) => `#${number} '${name}' (${driver})${pci ? ` pci:${pci}` : ''}`,
  );
  return (
    `no adapter matches '${requested}'; this machine has ${names.join(', ')}. A part of a name is enough, or #1 for ` +
    'the first, or pci: and an address, or uuid: and a UUID.'
  );
};

/** Says why an adapter cannot be opened, and what helps. */
const hiddenMessage = ({ number, name, hiddenBy }: AdapterDescription): string =>
  `adapter #${number}, '${name}', cannot be told apart from '${hiddenBy}': Dawn opens the first adapter whose name ` +
  "has this name in it, and no order of devices has this one first. What helps: Mesa's device-select layer, which " +
  'puts a GPU first by its PCI address; VK_DRIVER_FILES where they have drivers of their own; in containers, the ' +
  'GPUs that the runtime gives one.';

function matches(adapter: AdapterDescription, requested: string): boolean {
  const wanted = requested.toLowerCase();
  const text = `${adapter.name} ${adapter.driver} ${adapter.kind}`.toLowerCase();
  return text.includes(wanted) || (wanted in ALIASES && text.includes(ALIASES[wanted]!));
}

/** What helps where there is no adapter, see docs/platforms.md. */
const ADVICE: Readonly<Partial<Record<NodeJS.Platform, string>>> = {
  linux:
    "Install a Vulkan driver (Debian: 'apt-get install mesa-vulkan-drivers libvulkan1'; NVIDIA: its own), or run " +
    "'npm ci' without --omit=optional.",
  win32: 'It takes Windows 10 or later, and a GPU with a D3D12 driver.',
  darwin: "It takes Metal, and macOS 26 or later by what Dawn's binary says.",
};

async function noAdapterMessage(): Promise<string> {
  const bundled = await prepareDrivers();
  const why = 'missing' in bundled ? ` The bundled software driver is not available either: ${bundled.missing}.` : '';
  const advice = ADVICE[process.platform] ?? 'Dawn has binaries for Linux, Windows and macOS.';
  return `no WebGPU adapter was found.${why} ${advice}`;
}
