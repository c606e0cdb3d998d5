/** The instructions of a shader, by its basic blocks. */

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

export type Classify = (text: string) => Instruction;

/** The instructions of a part of a shader. */
export interface InstructionCounts {
  readonly instructions: number;
  /** Those that take a cycle of the lanes: all on NVIDIA, on AMD vector arithmetic; a dual or packed one is two. */
  readonly issued: number;
  /** Multiply-adds of a lane. */
  readonly fmas: number;
  /** The instructions that multiply and add: in a part with matrices these alone. */
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

export function countInstructions(texts: readonly string[], classify: Classify): InstructionCounts {
  const counts = {
    instructions: texts.length,
    issued: 0,
    fmas: 0,
    usefulInstructions: 0,
    matrixFmas: 0,
    workgroupBytes: 0,
    globalBytes: 0,
    scratch: 0,
  };
  const classified = texts.map(classify);
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

/** What a thread does once, and in one round of each of its loops; undefined where it has none. */
export interface WholeCounts {
  readonly once: InstructionCounts;
  readonly perRound?: InstructionCounts | undefined;
}

/** Counts a whole shader: both sides of a branch are counted, though a thread may take one. */
export function countWhole(blocks: readonly Block[], classify: Classify): WholeCounts {
  const looped = blocksOfLoops(blocks);
  const countOf = (isLooped: boolean) =>
    countInstructions(
      blocks.filter((_, number) => looped.has(number) === isLooped).flatMap(({ instructions }) => instructions),
      classify,
    );
  return { once: countOf(false), perRound: looped.size > 0 ? countOf(true) : undefined };
}

/** Returns the numbers of the blocks of all loops: those that lead to themselves, in whatever order they stand. */
export function blocksOfLoops(blocks: readonly Block[]): Set<number> {
  return new Set([...blocks.keys()].filter(number => leadingTo(blocks, number).has(number)));
}

function leadingTo(blocks: readonly Block[], number: number): Set<number> {
  const found = new Set<number>();
  const open = [...(blocks[number]?.predecessors ?? [])];
  for (let from = open.pop(); from !== undefined; from = open.pop()) {
    if (found.has(from)) continue;
    found.add(from);
    open.push(...(blocks[from]?.predecessors ?? []));
  }
  return found;
}
