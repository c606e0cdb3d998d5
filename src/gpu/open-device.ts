/** Opening a device: the adapter, and what is asked of it. */
import { SIZE_CONTROL } from './adapters.js';
import { chooseAdapter } from './choose-adapter.js';
import { Device } from './device.js';
import { kernelFolder } from './kernel-files.js';

export interface DeviceOptions {
  /**
   * A part of the adapter's name, its number in the list (`#2`), or its PCI address or UUID (`pci:0000:03:00.0`,
   * `uuid:`); by default the environment's BABELGRAD_ADAPTER, else the best adapter there is.
   */
  adapter?: string | undefined;
  /** Whether to keep Dawn's bounds checks and zeroed workgroup memory in kernels: slower, for tests. */
  checked?: boolean;
  /** Limits below the adapter's, to see how a smaller one would be served. */
  limits?: Readonly<Record<string, number>>;
}

const REQUESTED_FEATURES = [
  'subgroups',
  'timestamp-query',
  'shader-f16',
  'chromium-experimental-subgroup-matrix',
  SIZE_CONTROL,
] as const;
/** The limits that are raised to what the adapter has; a device otherwise gets the specification's low defaults. */
const REQUESTED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const;

/**
 * Opens a device on the chosen adapter.
 * @throws UserError when there is no adapter or none that matches, or the environment's BABELGRAD_WGSL is no folder.
 * @example
 * import { openDevice } from 'babelgrad';
 *
 * const device = await openDevice();
 * console.log(device.adapter.name, device.choice.reason);
 * device.close();
 */
export async function openDevice(options: DeviceOptions = {}): Promise<Device> {
  const kernelFiles = kernelFolder();
  const { live, choice } = await chooseAdapter(options.adapter, options.checked);
  const requiredLimits: Record<string, number> = {};
  for (const name of REQUESTED_LIMITS) requiredLimits[name] = live.adapter.limits[name];
  const requiredFeatures = REQUESTED_FEATURES.filter(feature => live.adapter.features.has(feature));
  const handle = await live.adapter.requestDevice({
    requiredFeatures: requiredFeatures as GPUFeatureName[],
    requiredLimits,
  });
  const chosen = { ...choice.chosen, limits: { ...choice.chosen.limits, ...options.limits } };
  return Device.of(handle, { ...choice, chosen }, kernelFiles);
}
