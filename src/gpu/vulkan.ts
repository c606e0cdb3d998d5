/**
 * The devices that Vulkan lists, in its order, with what Dawn does not tell of them: PCI address and UUID. Dawn goes by
 * the same list.
 */
import { requireNative } from '../natives.js';
import { withoutWarnings } from './dawn-warnings.js';

export interface VulkanDevice {
  readonly name: string;
  readonly vendorId: number;
  readonly deviceId: number;
  /** The address, in the form of `lspci -D`, `0000:03:00.0`; undefined where the driver gives none. */
  readonly pci?: string | undefined;
  /** The device's UUID, and its driver's. */
  readonly uuid: string;
  readonly driverUuid: string;
}

/** The functions of the Vulkan loader. An instance or device is an opaque address. */
interface Loader {
  vkCreateInstance(info: Uint8Array, allocator: null, instance: bigint[]): number;
  vkDestroyInstance(instance: bigint, allocator: null): void;
  vkEnumeratePhysicalDevices(instance: bigint, count: number[], devices: Uint8Array | null): number;
  vkEnumerateDeviceExtensionProperties(
    device: bigint,
    layer: null,
    count: number[],
    properties: Uint8Array | null,
  ): number;
  vkGetPhysicalDeviceProperties2(device: bigint, properties: Uint8Array): void;
  addressOf(bytes: Uint8Array): bigint;
}

const VULKAN_1_1 = (1 << 22) | (1 << 12);
const EXTENSION_BYTES = 260; // of VkExtensionProperties, which begins with the name

/** The first field, sType, of Vulkan's structures: which one it is. */
const TYPE = { applicationInfo: 0, instanceInfo: 1, properties: 1000059001, ids: 1000071004, pci: 1000212000 };

/** Returns the devices; none where there is no Vulkan, or no koffi to ask it by, or on another system than Linux. */
export function vulkanDevices(): VulkanDevice[] {
  const loader = loadLoader();
  return loader ? withoutWarnings(() => devicesOf(loader)) : [];
}

function devicesOf(loader: Loader): VulkanDevice[] {
  const application = structure(TYPE.applicationInfo, 48);
  application.writeUInt32LE(VULKAN_1_1, 44);
  const info = structure(TYPE.instanceInfo, 64);
  info.writeBigUInt64LE(loader.addressOf(application), 24);
  const instance = [0n];
  if (loader.vkCreateInstance(info, null, instance) !== 0) return [];
  try {
    const found = listOf(8, (count, into) => loader.vkEnumeratePhysicalDevices(instance[0]!, count, into));
    return found.map(handle => describe(loader, handle.readBigUInt64LE()));
  } finally {
    loader.vkDestroyInstance(instance[0]!, null);
  }
}

function describe(loader: Loader, device: bigint): VulkanDevice {
  const extensions = listOf(EXTENSION_BYTES, (count, into) =>
    loader.vkEnumerateDeviceExtensionProperties(device, null, count, into),
  ).map(entry => textOf(entry));
  const ids = structure(TYPE.ids, 64);
  const place = structure(TYPE.pci, 32);
  // a driver that does not know a structure complains of it
  const hasPlace = extensions.includes('VK_EXT_pci_bus_info');
  if (hasPlace) ids.writeBigUInt64LE(loader.addressOf(place), 8);
  const all = structure(TYPE.properties, 840);
  all.writeBigUInt64LE(loader.addressOf(ids), 8);
  loader.vkGetPhysicalDeviceProperties2(device, all);
  const properties = all.subarray(16);
  return {
    vendorId: properties.readUInt32LE(8),
    deviceId: properties.readUInt32LE(12),
    name: textOf(properties.subarray(20, 276)),
    uuid: uuidOf(ids.subarray(16, 32)),
    driverUuid: uuidOf(ids.subarray(32, 48)),
    pci: hasPlace ? pciOf(place.subarray(16)) : undefined,
  };
}

/** Makes a structure of Vulkan: the type, a pointer to another structure at 8, and what else it has, zero. */
function structure(type: number, bytes: number): Buffer {
  const made = Buffer.alloc(bytes);
  made.writeUInt32LE(type);
  return made;
}

/** Calls a function that first tells how many entries there are, and then gives them. */
function listOf(bytes: number, call: (count: number[], into: Uint8Array | null) => number): Buffer[] {
  const count = [0];
  call(count, null);
  const all = Buffer.alloc(bytes * count[0]!);
  if (call(count, all) < 0) return [];
  return Array.from({ length: count[0]! }, (_, i) => all.subarray(bytes * i, bytes * (i + 1)));
}

const textOf = (bytes: Buffer): string => bytes.subarray(0, bytes.indexOf(0)).toString();

const uuidOf = (bytes: Buffer): string =>
  bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

function pciOf(bytes: Buffer): string {
  const [domain, bus, device, part] = [4, 2, 2, 1].map((digits, i) =>
    bytes
      .readUInt32LE(4 * i)
      .toString(16)
      .padStart(digits, '0'),
  );
  return `${domain}:${bus}:${device}.${part}`;
}

let loaded: Loader | undefined;

function loadLoader(): Loader | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    loaded ??= bindLoader();
    return loaded;
  } catch {
    return undefined;
  }
}

function bindLoader(): Loader {
  const koffi = requireNative<typeof import('koffi')>('koffi');
  const library = koffi.load('libvulkan.so.1');
  return {
    vkCreateInstance: library.func('int vkCreateInstance(void *info, void *allocator, _Out_ uint64_t *instance)'),
    vkDestroyInstance: library.func('void vkDestroyInstance(uint64_t instance, void *allocator)'),
    vkEnumeratePhysicalDevices: library.func(
      'int vkEnumeratePhysicalDevices(uint64_t instance, _Inout_ uint32_t *count, void *devices)',
    ),
    vkEnumerateDeviceExtensionProperties: library.func(
      'int vkEnumerateDeviceExtensionProperties(uint64_t device, void *layer, _Inout_ uint32_t *count, void *all)',
    ),
    vkGetPhysicalDeviceProperties2: library.func(
      'void vkGetPhysicalDeviceProperties2(uint64_t device, void *properties)',
    ),
    addressOf: bytes => koffi.address(bytes),
  };
}
