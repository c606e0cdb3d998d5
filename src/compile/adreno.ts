/** Reads IR3_SHADER_DEBUG=cs: some lines of figures a shader. */
import { numberIn } from './log.js';
import type { Statistics } from './statistics.js';

/** The statistics of Turnip; undefined where there are none. */
export function readAdreno(log: string): Statistics | undefined {
  if (!/ CL prog \d+\/\d+: \d+ instr,/.test(log)) return undefined;
  return {
    registers: numberIn(log, /(\d+) full,/),
    spills: [...log.matchAll(/ stp\.\w+ /g)].length,
    occupancy: numberIn(log, /(\d+) max_waves/),
    instructions: numberIn(log, / CL prog \d+\/\d+: (\d+) instr,/),
  };
}
