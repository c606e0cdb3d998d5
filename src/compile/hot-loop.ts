/** The loop of a shader in which its time goes, by its instructions. */
import { type Block, blocksOfLoops, type Classify, countInstructions, type InstructionCounts } from './instructions.js';

/** Returns how many other instructions a hot loop has to one on matrices; undefined where it has none on matrices. */
export const othersPerMatrix = ({
  instructions,
  usefulInstructions,
  matrixFmas,
}: InstructionCounts): number | undefined =>
  matrixFmas > 0 ? (instructions - usefulInstructions) / usefulInstructions : undefined;

/**
 * Counts the longest block of any loop or, in a shader without loops, the longest block. Kernels unroll their tiles, so
 * that the loop that matters is one long block. Where blocks of loops have matrix instructions, all of these blocks
 * count: scores and sums of attention stand in different ones.
 */
export function countHotLoop(blocks: readonly Block[], classify: Classify): InstructionCounts {
  const looped = [...blocksOfLoops(blocks)].map(number => blocks[number]!);
  const bodies = (looped.length > 0 ? looped : blocks).map(({ instructions }) => instructions);
  const onMatrices = bodies.filter(body => body.some(text => classify(text).kind === 'matrix'));
  const longest = bodies.reduce((most, body) => (body.length > most.length ? body : most), []);
  return countInstructions(onMatrices.length > 0 ? onMatrices.flat() : longest, classify);
}
