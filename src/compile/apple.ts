/** Reads AGX_MESA_DEBUG=shaderdb: one line a shader. */
import { numberIn } from './log.js';
import type { Statistics } from './statistics.js';

/** The statistics of Honeykrisp; undefined where there are none. */
export function readApple(log: string): Statistics | undefined {
  const line = /^CS shader: .*$/m.exec(log)?.[0];
  if (!line) return undefined;
  return {
    registers: numberIn(line, /(\d+) gprs/),
    spills: numberIn(line, /(\d+):\d+ spills:fills/),
    scratchBytes: numberIn(line, /(\d+) scratch/),
    occupancy: numberIn(line, /(\d+) threads/),
    instructions: numberIn(line, /(\d+) instrs/),
    cycles: numberIn(line, /(\d+) alu/),
    lanes: 32,
  };
}
