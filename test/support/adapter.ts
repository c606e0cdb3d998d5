/** Says once, before the tests, on which adapter they run. */
import { openDevice } from '../../src/gpu/open-device.js';

export async function setup(): Promise<void> {
  const device = await openDevice();
  process.stderr.write(`adapter: ${device.adapter.name} (${device.adapter.driver}), ${device.choice.reason}\n`);
  device.close();
}
