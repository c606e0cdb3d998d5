/** What a process holds while it trains a run: the folder, a device, and the data. */
import { claimFolder, showClaim } from '../claim.js';
import { UserError } from '../errors.js';
import type { Device } from '../gpu/device.js';
import { openDevice } from '../gpu/open-device.js';
import { ALONE, type RankGroup } from '../parallel/ranks.js';
import { adapterOfRank } from './parallel.js';
import type { Data } from './run-data.js';
import type { WaitOptions } from './survive.js';

/** Runs `body` with the folder claimed; of several ranks the lead claims it for all, before any of them goes on. */
export async function withClaim<Result>(
  folder: string,
  ranks: RankGroup = ALONE,
  body: () => Promise<Result>,
): Promise<Result> {
  if (!ranks.isLead) {
    await ranks.gather('claimed');
    return body();
  }
  const release = await claimFolder(folder);
  if (!release) {
    throw new UserError(`'${folder}' is being trained by ${showClaim(folder)}; wait for its end, or stop it`);
  }
  try {
    await ranks.gather('claimed');
    return await body();
  } finally {
    await release();
  }
}

interface DeviceOptions extends WaitOptions {
  readonly device?: Device | undefined;
  readonly ranks?: RankGroup | undefined;
}

/** Runs `body` with a device, the given one or the configured one, which is closed after it, as the data are. */
export async function withDevice<Result>(
  { device: given, ranks = ALONE, patienceMs }: DeviceOptions,
  adapter: string | undefined,
  data: Data,
  body: (device: Device) => Promise<Result>,
): Promise<Result> {
  const device =
    given ??
    (await adapterOfRank(ranks, adapter)
      .then(own => openDevice({ adapter: own }))
      .catch(error => {
        data.close();
        throw error;
      }));
  if (!given && patienceMs !== undefined) device.patience = patienceMs;
  try {
    return await body(device);
  } finally {
    data.close();
    if (!given) device.close();
  }
}
