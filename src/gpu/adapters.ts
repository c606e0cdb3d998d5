/** The adapters of this machine. */
import { messageOf, UserError } from '../errors.js';
import { nativeError } from '../natives.js';
import { withoutWarnings } from './dawn-warnings.js';
import { orderFor, type Variables, withVariables } from './device-order.js';
import { type BundledDriver, prepareDrivers } from './drivers.js';
import { type VulkanDevice, vulkanDevices } from './vulkan.js';

/** An adapter as Dawn reports it. */
export interface AdapterDescription {
  /** Its number in the list of all adapters, best first, from 1: `--adapter '#1'` takes it. */
  readonly number: number;
  /** The device name, by which `--adapter` finds it. */
  readonly name: string;
  /** The PCI address, `0000:03:00.0`, where the driver gives one (Linux). */
  readonly pci?: string | undefined;
  /** The UUID that the driver gives the device (Linux). A driver on the CPU has the same on all machines. */
  readonly uuid?: string | undefined;
  readonly vendor: string;
  readonly architecture: string;
  /**
   * The name of an earlier adapter that has this name in its own, often the same, where no order of devices could be
   * had in which Dawn opens this one. What stands here is true of the other.
   */
  readonly hiddenBy?: string | undefined;
  /** The variables by which another program that goes by names finds this one, where it needs any. */
  readonly order?: Readonly<Record<string, string>> | undefined;
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

export interface LiveAdapter {
  /** @internal */
  readonly adapter: GPUAdapter;
  readonly description: AdapterDescription;
}

const PREFERENCE: readonly AdapterDescription['kind'][] = ['hardware', 'system software', 'bundled software'];
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
 * Dawn's instances, one for each set of flags and order of devices, kept for the life of the process. Dawn goes on
 * polling an instance for a moment after its last device is closed, and crashes if the instance was collected
 * meanwhile. They do not keep Node.js from exiting.
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

/** Asks for an adapter by its name, with variables set. Dawn looks at the devices before its call returns. */
async function requestAdapter(checked: boolean, name: string, variables: Variables = {}): Promise<GPUAdapter | null> {
  const { create } = await loadDawn();
  const wanted = flags(checked, name);
  const key = JSON.stringify([wanted, variables]);
  return withVariables(variables, () => {
    const instance = instances.get(key) ?? create(wanted);
    instances.set(key, instance);
    return withoutWarnings(() => instance.requestAdapter());
  });
}

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
  const devices = vulkanDevices();
  const found: { adapter: GPUAdapter; described: Omit<AdapterDescription, 'number'> }[] = [];
  for (const [i, name] of names.entries()) {
    const device = deviceOf(names, i, devices);
    const before = names.slice(0, i).find(other => other.includes(name));
    const order = before === undefined ? undefined : device && orderFor(device, vulkanDevices);
    const adapter = await requestAdapter(checked, name, order);
    if (!adapter) continue;
    const { pci, uuid } = device ?? {};
    const hiddenBy = order ? undefined : before;
    found.push({ adapter, described: { ...describe(name, adapter, bundled), pci, uuid, hiddenBy, order } });
  }
  const rank = ({ kind }: Omit<AdapterDescription, 'number'>) => PREFERENCE.indexOf(kind);
  return found
    .sort((a, b) => rank(a.described) - rank(b.described))
    .map(({ adapter, described }, i) => ({ adapter, description: { number: i + 1, ...described } }));
}

/** Returns the device of an adapter: as the adapter is among its namesakes. Undefined where the lists differ. */
function deviceOf(names: readonly string[], i: number, devices: readonly VulkanDevice[]): VulkanDevice | undefined {
  const [name] = names.slice(i);
  const namesakes = devices.filter(device => device.name === name);
  const count = (all: readonly string[]) => all.filter(other => other === name).length;
  return namesakes.length === count(names) ? namesakes[count(names.slice(0, i))] : undefined;
}

/**
 * Returns the names of all adapters. dawn.node does not list them, but when it is asked for an adapter that does not
 * exist, its error does.
 */
async function adapterNames(checked: boolean): Promise<string[]> {
  try {
    await requestAdapter(checked, ABSENT_NAME);
    return [];
  } catch (error) {
    if (error instanceof UserError) throw error; // without Dawn nobody was asked
    return [...messageOf(error).matchAll(/ \* backend: '[^']*', name: '(.*)'$/gm)].map(match => match[1]!);
  }
}

function describe(name: string, adapter: GPUAdapter, bundled: BundledDriver): Omit<AdapterDescription, 'number'> {
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
