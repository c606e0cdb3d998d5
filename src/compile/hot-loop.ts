/** The loop of a shader in which its time goes, by its instructions. */

/** A basic block of a shader. */
export interface Block {
  readonly instructions: string[];
  /** The numbers of the blocks that lead to it. */
  readonly predecessors: number[];
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

/** Returns how many other instructions a hot loop has to one on matrices; undefined where it has none on matrices. */
export const othersPerMatrix = ({ instructions, usefulInstructions, matrixFmas }: LoopCounts): number | undefined =>
  matrixFmas > 0 ? (instructions - usefulInstructions) / usefulInstructions : undefined;

/**
 * Counts the longest block of any loop or, in a shader without loops, the longest block. Kernels unroll their tiles, so
 * that the loop that matters is one long block. Where blocks of loops have matrix instructions, all of these blocks
 * count: scores and sums of attention stand in different ones.
 */
export function countHotLoop(blocks: readonly Block[], classify: (text: string) => Instruction): LoopCounts {
  const looped = [...blocksOfLoops(blocks)].map(number => blocks[number]!);
  const bodies = (looped.length > 0 ? looped : blocks).map(({ instructions }) => instructions);
  const onMatrices = bodies.filter(body => body.some(text => classify(text).kind === 'matrix'));
  const longest = bodies.reduce((most, body) => (body.length > most.length ? body : most), []);
  const hot = onMatrices.length > 0 ? onMatrices.flat() : longest;
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

/**
 * Returns the blocks of all loops. A block that is led to from below begins a loop, which has all blocks from which
 * that one below is reached: what is done after the loop may stand between them.
 */
function blocksOfLoops(blocks: readonly Block[]): Set<number> {
  const all = new Set<number>();
  for (const [first, { predecessors }] of blocks.entries()) {
    const loop = new Set([first]);
    const open = predecessors.filter(from => from >= first);
    if (open.length === 0) continue;
    for (let number = open.pop(); number !== undefined; number = open.pop()) {
      if (loop.has(number)) continue;
      loop.add(number);
      open.push(...(blocks[number]?.predecessors ?? []));
    }
    for (const number of loop) all.add(number);
  }
  return all;
}
