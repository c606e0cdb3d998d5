/** The readers of what the drivers write, by driver. */
import { readAdreno } from './adreno.js';
import { readAmd } from './amd.js';
import { readApple } from './apple.js';
import type { DriverName } from './gpus.js';
import { readNvidia } from './nvidia.js';
import type { Statistics } from './statistics.js';

const READERS: Readonly<Record<DriverName, (log: string) => Statistics | undefined>> = {
  radv: readAmd,
  nvk: readNvidia,
  honeykrisp: readApple,
  turnip: readAdreno,
};

/** Reads what a driver wrote while it compiled one shader; undefined where that holds no statistics. */
export const readStatistics = (driver: DriverName, log: string): Statistics | undefined => READERS[driver](log);
