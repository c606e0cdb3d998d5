/** The order of devices in which Dawn opens the one that is meant, on lists like those of loader and Mesa's layer. */
import { expect, test } from 'vitest';
import { orderFor, type Variables, withVariables } from '../../src/gpu/device-order.js';
import type { VulkanDevice } from '../../src/gpu/vulkan.js';

const card = (bus: number, name = 'RTX 3090', deviceId = 0x2204): VulkanDevice => ({
  name,
  vendorId: 0x10de,
  deviceId,
  pci: `0000:0${bus}:00.0`,
  uuid: `uuid of ${bus}`,
  driverUuid: 'driver',
});
const layerOrder = (bus: number): Variables => ({ DRI_PRIME: `pci-0000_0${bus}_00_0` });

/** Lists devices as a loader does, by PCI address, given in the order of their drivers. */
const lister = (devices: readonly VulkanDevice[], hasLayer: boolean) => () => {
  const { DRI_PRIME, VK_LOADER_DEVICE_SELECT, VK_LOADER_DISABLE_SELECT } = process.env;
  if (VK_LOADER_DISABLE_SELECT) return devices;
  const sorted = [...devices].sort((a, b) => (a.pci ?? '').localeCompare(b.pci ?? ''));
  const isModel = ({ vendorId, deviceId }: VulkanDevice) =>
    VK_LOADER_DEVICE_SELECT === `${vendorId.toString(16)}:${deviceId.toString(16)}`;
  const listed = [...devices.filter(isModel), ...sorted.filter(one => !isModel(one))];
  const isMeant = ({ pci }: VulkanDevice) => hasLayer && DRI_PRIME === `pci-${pci?.replace(/[:.]/g, '_')}`;
  return [...listed.filter(isMeant), ...listed.filter(one => !isMeant(one))];
};

test('one that is first needs nothing, another the layer', () => {
  const devices = [card(1), card(2), card(3)];
  const list = lister(devices, true);
  expect(devices.map(device => orderFor(device, list))).toEqual([{}, layerOrder(2), layerOrder(3)]);
});

test('without the layer, the loader puts the first of the driver first, and nothing helps the one between', () => {
  const list = lister([card(3), card(1), card(2)], false);
  const selected = { VK_LOADER_DEVICE_SELECT: '10de:2204' };
  expect([1, 2, 3].map(bus => orderFor(card(bus), list))).toEqual([{}, undefined, selected]);
});

test('a model whose name is in that of another', () => {
  const devices = [card(1, 'RTX 3090 Ti', 0x2203), card(2)];
  expect(orderFor(devices[1]!, lister(devices, false))).toEqual({ VK_LOADER_DEVICE_SELECT: '10de:2204' });
});

test('nothing tells devices of one UUID without a PCI address apart', () => {
  const devices = [1, 2].map(() => ({ ...card(1, 'SwiftShader'), pci: undefined }));
  expect(devices.map(device => orderFor(device, lister(devices, true)))).toEqual([undefined, undefined]);
});

test('variables are as they were afterwards', () => {
  process.env.DRI_PRIME = '1';
  expect(withVariables({ DRI_PRIME: '2', ANOTHER: '3' }, () => [process.env.DRI_PRIME, process.env.ANOTHER])).toEqual([
    '2',
    '3',
  ]);
  expect([process.env.DRI_PRIME, process.env.ANOTHER]).toEqual(['1', undefined]);
  delete process.env.DRI_PRIME;
});
