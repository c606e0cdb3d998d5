/** What a driver's compiler says of a shader, in one form for all drivers. */
import type { InstructionCounts, WholeCounts } from './instructions.js';

/** A figure is undefined where the driver does not print it. */
export interface Statistics {
  /** What a lane has: on AMD vector registers, on Apple halves of registers, on Adreno vectors of four. */
  readonly registers?: number | undefined;
  /** Registers that did not fit, and are kept in memory instead. */
  readonly spills?: number | undefined;
  /** The bytes of private memory: of a subgroup on AMD, of a lane elsewhere. */
  readonly scratchBytes?: number | undefined;
  /** The bytes of workgroup memory. */
  readonly workgroupBytes?: number | undefined;
  /** What runs at once: subgroups of a SIMD (AMD), of an SM (NVIDIA), of a core (Adreno); threads of a core (Apple). */
  readonly occupancy?: number | undefined;
  readonly instructions?: number | undefined;
  /** The compiler's own estimate. It guesses how often loops run: compare a kernel with its own next version. */
  readonly cycles?: number | undefined;
  readonly lanes?: number | undefined;
  readonly hotLoop?: InstructionCounts | undefined;
  readonly whole?: WholeCounts | undefined;
}
