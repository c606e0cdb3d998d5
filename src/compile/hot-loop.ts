/** The loop of a shader in which its time goes, by its instructions. */

/** The basic blocks of a shader, in the order in which they stand, and the loops: their first and last block. */
export interface Blocks {
  readonly blocks: readonly (readonly string[])[];
  readonly loops: readonly (readonly [first: number, last: number])[];
}

/** What an instruction does, of a lane; matrix instructions are a subgroup's. */
export type Instruction =
  | { readonly kind: 'fma'; readonly count: number }
  | { readonly kind: 'matrix'; readonly fmas: number }
  | { readonly kind: 'workgroup' | 'global'; readonly bytes: number }
  | { readonly kind: 'scratch' | 'other' | 'free' };

/** The instructions of a hot loop. */
export interface LoopCounts {
  readonly instructions: number;
  /** Those that take a cycle of the lanes: all on NVIDIA, on AMD vector arithmetic; a dual or packed one is two. */
  readonly issued: number;
  /** Multiply-adds of a lane. */
  readonly fmas: number;
  /** The instructions that multiply and add: in a loop with matrices these alone. */
  readonly usefulInstructions: number;
  /** Multiply-adds of a subgroup's matrices. */
  readonly matrixFmas: number;
  /** The bytes of a lane that go to and from workgroup memory. */
  readonly workgroupBytes: number;
  /** The bytes of a lane that go to and from storage buffers. */
  readonly globalBytes: number;
  /** The accesses to registers that were spilled. */
  readonly scratch: number;
}

/**
 * Counts the longest block of any loop or, in a shader without loops, the longest block. Kernels unroll their tiles, so
 * that the loop that matters is one long block.
 */
export function countHotLoop({ blocks, loops }: Blocks, classify: (text: string) => Instruction): LoopCounts {
  const looped = blocks.filter((_, i) => loops.some(([first, last]) => first <= i && i <= last));
  const candidates = looped.length > 0 ? looped : blocks;
  const hot = candidates.reduce((longest, block) => (block.length > longest.length ? block : longest), []);
  const counts = {
    instructions: hot.length,
    issued: 0,
    fmas: 0,
    usefulInstructions: 0,
    matrixFmas: 0,
    workgroupBytes: 0,
    globalBytes: 0,
    scratch: 0,
  };
  const classified = hot.map(classify);
  const usefulKind = classified.some(({ kind }) => kind === 'matrix') ? 'matrix' : 'fma';
  for (const one of classified) {
    if (one.kind === usefulKind) counts.usefulInstructions++;
    if (one.kind !== 'free') counts.issued++;
    if (one.kind === 'fma') {
      counts.fmas += one.count;
      counts.issued += one.count - 1;
    } else if (one.kind === 'matrix') counts.matrixFmas += one.fmas;
    else if (one.kind === 'workgroup') counts.workgroupBytes += one.bytes;
    else if (one.kind === 'global') counts.globalBytes += one.bytes;
    else if (one.kind === 'scratch') counts.scratch++;
  }
  return counts;
}
