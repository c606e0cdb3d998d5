/**
 * Which of several devices Dawn opens. It finds a device by a part of its name and takes the first in Vulkan's order,
 * so that of two equal GPUs the second cannot be asked for. But the Vulkan loader, and Mesa's device-select layer where
 * it is installed, put a device first if a variable says so while Dawn looks.
 */
import type { VulkanDevice } from './vulkan.js';

export type Variables = Readonly<Record<string, string>>;

/** Runs `body`, which must not be asynchronous, with variables of the environment set. */
export function withVariables<Result>(variables: Variables, body: () => Result): Result {
  const before = Object.keys(variables).map(name => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  try {
    return body();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

/** What may put a device first. */
function orders({ pci, vendorId, deviceId }: VulkanDevice): Variables[] {
  const model = [vendorId, deviceId].map(id => id.toString(16)).join(':');
  return [
    {},
    // the layer's: exactly this one
    ...(pci ? [{ DRI_PRIME: `pci-${pci.replace(/[:.]/g, '_')}` }] : []),
    // the loader's: the first that the driver lists of this model
    { VK_LOADER_DEVICE_SELECT: model },
    // the order of drivers instead of the loader's
    { VK_LOADER_DISABLE_SELECT: '1' },
  ];
}

/**
 * Returns the variables under which Dawn opens a device, undefined if none of them has that effect.
 * @param list gives the devices in Vulkan's order under the variables of that moment.
 */
export function orderFor(device: VulkanDevice, list: () => readonly VulkanDevice[]): Variables | undefined {
  const isIt = (other: VulkanDevice | undefined) =>
    other !== undefined &&
    other.pci === device.pci &&
    other.uuid === device.uuid &&
    other.driverUuid === device.driverUuid;
  if (list().filter(isIt).length !== 1) return undefined; // nothing tells it from another
  return orders(device).find(variables => {
    const listed = withVariables(variables, list);
    return isIt(listed.find(({ name }) => name.includes(device.name)));
  });
}
