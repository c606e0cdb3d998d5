/** The adapters of this machine, and which one is used. */
import { messageOf, UserError } from '../errors.js';
import { nativeError } from '../natives.js';
import { withoutWarnings } from './dawn-warnings.js';
import { type BundledDriver, prepareDrivers } from './drivers.js';

/** An adapter as Dawn reports it. */
export interface AdapterDescription {
  /** The device name, by which `--adapter` finds it. */
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  /**
   * The name of an earlier adapter that has this name in its own, often the same: Dawn finds an adapter by a part of
   * its name and takes the first, so that this one cannot be opened, and what stands here is true of the other.
   */
  readonly hiddenBy?: string | undefined;
  /** The driver with its version. */
  readonly driver: string;
  readonly kind: 'hardware' | 'system software' | 'bundled software';
  /**
   * The lanes of a subgroup that kernels can rely on, smallest first: one where all subgroups have that size; several
   * where it varies and each kernel can ask for one of them; none where neither holds.
   */
  readonly subgroupSizes: readonly number[];
  /** The shapes of matrices that a subgroup can multiply (tensor cores); empty where there are none. */
  readonly subgroupMatrices: readonly SubgroupMatrix[];
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** The shape and types of C [M, N] += A [M, K] B [K, N]; A and B have the type `operand`, C the type `result`. */
export interface SubgroupMatrix {
  readonly operand: string;
  readonly result: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** The adapter that was chosen, the reason, and the others. */
export interface AdapterChoice {
  readonly chosen: AdapterDescription;
  readonly reason: string;
  readonly adapters: readonly AdapterDescription[];
}

export interface LiveAdapter {
  /** @internal */
  readonly adapter: GPUAdapter;
  readonly description: AdapterDescription;
}

const PREFERENCE: readonly AdapterDescription['kind'][] = ['hardware', 'system software', 'bundled software'];
/** The names that people use for a driver, and what its adapter calls itself. */
const ALIASES: Readonly<Record<string, string>> = { lavapipe: 'llvmpipe' };
/** The feature by which a kernel asks for subgroups of a size. */
export const SIZE_CONTROL = 'subgroup-size-control';
const ABSENT_NAME = '(no such adapter)';

/**
 * Returns Dawn's toggles. They allow subgroup matrices and f16 on NVIDIA, and leave timestamps unrounded. Unless
 * `checked`, bounds checks are off: kernels guard their edges.
 */
function flags(checked: boolean, name: string): string[] {
  const enabled = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia'];
  if (!checked) enabled.push('disable_robustness', 'disable_workgroup_init');
  return [
    `adapter=${name}`,
    `enable-dawn-features=${enabled.join(',')}`,
    'disable-dawn-features=timestamp_quantization',
  ];
}

/**
 * Dawn's instances, one for each set of flags, kept for the life of the process. Dawn goes on polling an instance for a
 * moment after its last device is closed, and crashes if the instance was collected meanwhile. They do not keep Node.js
 * from exiting.
 */
const instances = new Map<string, GPU>();

/** Returns Dawn's module. @throws UserError when it is not there for this machine. */
async function loadDawn(): Promise<typeof import('webgpu')> {
  try {
    return await import('webgpu');
  } catch (error) {
    throw nativeError('webgpu', error);
  }
}

async function instanceFor(checked: boolean, name: string): Promise<GPU> {
  const { create } = await loadDawn();
  const wanted = flags(checked, name);
  const key = wanted.join(' ');
  const instance = instances.get(key) ?? create(wanted);
  instances.set(key, instance);
  return instance;
}

/** Asks for the adapter of an instance. Dawn looks at it before the call returns. */
const requestAdapter = (instance: GPU): Promise<GPUAdapter | null> => withoutWarnings(() => instance.requestAdapter());

/**
 * Returns every adapter that Dawn accepts, best first.
 * @example
 * import { listAdapters } from 'babelgrad';
 *
 * for (const { description: adapter } of await listAdapters()) console.log(adapter.name, adapter.kind, adapter.driver);
 */
export async function listAdapters(checked = false): Promise<LiveAdapter[]> {
  const bundled = await prepareDrivers();
  const names = await adapterNames(checked);
  const live: LiveAdapter[] = [];
  for (const [i, name] of names.entries()) {
    const adapter = await requestAdapter(await instanceFor(checked, name));
    const hiddenBy = names.slice(0, i).find(other => other.includes(name));
    const described = adapter && describe(name, adapter, bundled);
    if (adapter && described) live.push({ adapter, description: hiddenBy ? { ...described, hiddenBy } : described });
  }
  const rank = (a: LiveAdapter) => PREFERENCE.indexOf(a.description.kind);
  return live.sort((a, b) => rank(a) - rank(b));
}

/**
 * Returns the names of all adapters. dawn.node does not list them, but when it is asked for an adapter that does not
 * exist, its error does.
 */
async function adapterNames(checked: boolean): Promise<string[]> {
  const instance = await instanceFor(checked, ABSENT_NAME);
  try {
    await requestAdapter(instance);
    return [];
  } catch (error) {
    return [...messageOf(error).matchAll(/ \* backend: '[^']*', name: '(.*)'$/gm)].map(match => match[1]!);
  }
}

function describe(name: string, adapter: GPUAdapter, bundled: BundledDriver): AdapterDescription {
  const { info } = adapter;
  const limits: Record<string, number> = {};
  for (const key in adapter.limits) limits[key] = adapter.limits[key as keyof GPUSupportedLimits] as number;
  const isBundled = info.architecture === 'swiftshader' && 'manifest' in bundled;
  return {
    name,
    vendor: info.vendor,
    architecture: info.architecture,
    driver: info.description,
    kind: !info.isFallbackAdapter ? 'hardware' : isBundled ? 'bundled software' : 'system software',
    subgroupSizes: subgroupSizes(adapter),
    subgroupMatrices: subgroupMatrices(info),
    features: [...adapter.features].sort(),
    limits,
  };
}

function subgroupSizes({ features, info }: GPUAdapter): number[] {
  const { subgroupMinSize: least = 0, subgroupMaxSize: most = 0 } = info;
  if (!features.has('subgroups') || least === 0) return [];
  if (least < most && !features.has(SIZE_CONTROL)) return [];
  const sizes: number[] = [];
  for (let size = least; size <= most; size *= 2) sizes.push(size);
  return sizes;
}

/** Says how many lanes kernels can rely on: `32 lanes`, `32-64 lanes`. */
export function showLanes(sizes: readonly number[]): string {
  const [least, most] = [sizes[0], sizes.at(-1)];
  if (least === undefined) return 'varies or none';
  return least === most ? `${least} lanes` : `${least}-${most} lanes`;
}

/** Dawn's experimental addition to GPUAdapterInfo, which @webgpu/types does not have. */
interface MatrixInfo {
  readonly subgroupMatrixConfigs?: Iterable<{
    readonly componentType: string;
    readonly resultComponentType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }>;
}

function subgroupMatrices(info: GPUAdapterInfo): SubgroupMatrix[] {
  const configs = (info as GPUAdapterInfo & MatrixInfo).subgroupMatrixConfigs ?? [];
  return [...configs].map(({ componentType, resultComponentType, M, N, K }) => ({
    operand: componentType,
    result: resultComponentType,
    M,
    N,
    K,
  }));
}

/**
 * Chooses an adapter: `requested` (or the environment's BABELGRAD_ADAPTER) is a part of its name, driver or kind, or
 * `#2` for the second of the list. Otherwise a hardware adapter comes before a software driver of the system, and that
 * before the bundled one.
 * @throws UserError when there is no adapter, or none that matches, or only one that Dawn cannot open.
 */
export async function chooseAdapter(
  requested = process.env.BABELGRAD_ADAPTER,
  checked = false,
): Promise<{ live: LiveAdapter; choice: AdapterChoice }> {
  const all = await listAdapters(checked);
  const adapters = all.map(live => live.description);
  if (all.length === 0) throw new UserError(await noAdapterMessage());
  const number = /^#(\d+)$/.exec(requested ?? '')?.[1];
  const live = number === undefined ? named(all, requested) : all[Number(number) - 1];
  if (!live) {
    const names = adapters.map((a, i) => `#${i + 1} '${a.name}' (${a.driver})`).join(', ');
    throw new UserError(
      `no adapter matches '${requested}'; this machine has ${names}. A part of a name is enough, or #1 for the first.`,
    );
  }
  const chosen = live.description;
  if (chosen.hiddenBy) throw new UserError(hiddenMessage(adapters.indexOf(chosen) + 1, chosen));
  const alike = adapters.filter(({ name }) => name === chosen.name).length;
  const why = requested
    ? `asked for by '${requested}'`
    : chosen.kind === 'hardware'
      ? 'hardware comes before software'
      : `no hardware adapter was found; ${chosen.kind} is the best of what is left`;
  const reason = alike > 1 ? `${why}; the first of ${alike} of this name` : why;
  return { live, choice: { chosen, reason, adapters } };
}

/** Returns the first that has a name, else the first that matches; those that can be opened come before the others. */
function named(all: readonly LiveAdapter[], requested: string | undefined): LiveAdapter | undefined {
  const ordered = [...all].sort((a, b) => Number(!!a.description.hiddenBy) - Number(!!b.description.hiddenBy));
  if (!requested) return ordered[0];
  const exact = ordered.find(({ description }) => description.name === requested);
  return exact ?? ordered.find(({ description }) => matches(description, requested));
}

/** Says why an adapter cannot be opened, and what puts it first. */
const hiddenMessage = (number: number, { name, hiddenBy }: AdapterDescription): string =>
  `adapter #${number}, '${name}', cannot be told apart from '${hiddenBy}': Dawn opens the first adapter whose name ` +
  'has this name in it. Put it first in the order of drivers: DRI_PRIME=pci-0000_03_00_0 with its PCI address ' +
  "('lspci -D'), where Mesa's device-select layer is installed. Or hide the other: VK_DRIVER_FILES where they have " +
  'drivers of their own; in containers, by the GPUs that the runtime gives one.';

function matches(adapter: AdapterDescription, requested: string): boolean {
  const wanted = requested.toLowerCase();
  const text = `${adapter.name} ${adapter.driver} ${adapter.kind}`.toLowerCase();
  return text.includes(wanted) || (wanted in ALIASES && text.includes(ALIASES[wanted]!));
}

async function noAdapterMessage(): Promise<string> {
  const bundled = await prepareDrivers();
  const why = 'missing' in bundled ? ` The bundled software driver is not available either: ${bundled.missing}.` : '';
  return `no WebGPU adapter was found.${why} Install a Vulkan driver, or run 'npm ci' without --omit=optional.`;
}
