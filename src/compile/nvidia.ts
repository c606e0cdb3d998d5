/** Reads NAK_DEBUG=print: the compiler's form of the shader after its last pass, which is SASS, and its statistics. */
import { countHotLoop } from './hot-loop.js';
import { type Block, countWhole, type Instruction } from './instructions.js';
import { namedNumbers } from './log.js';
import type { Statistics } from './statistics.js';

const LAST_PASS = 'NAK IR after calc_instr_deps:';

/** The statistics of NAK; undefined where there are none. */
export function readNvidia(log: string): Statistics | undefined {
  const last = log.slice(Math.max(0, log.lastIndexOf(LAST_PASS)));
  const numbers = namedNumbers(last);
  if (!numbers.has('Num GPRs')) return undefined;
  const blocks = finalBlocks(last);
  return {
    registers: numbers.get('Num GPRs'),
    spills: numbers.get('Spills to mem'),
    scratchBytes: numbers.get('SLM size'),
    workgroupBytes: namedNumbers(log).get('shared_size') ?? 0,
    occupancy: numbers.get('Max warps/SM'),
    instructions: numbers.get('Instruction count'),
    cycles: numbers.get('Static cycle count'),
    lanes: 32,
    hotLoop: countHotLoop(blocks, classify),
    whole: countWhole(blocks, classify),
  };
}

/** A block begins with its number and those of the blocks that lead to it: `block.u 9 L24 [3, 9] -> {`. */
function finalBlocks(text: string): Block[] {
  const blocks: Block[] = [];
  let isInside = false; // behind the last block, the encoded shader is indented too
  for (const line of text.split('\n')) {
    const from = /^block\S* \d+ .*\[([\d, ]*)\] -> \{/.exec(line)?.[1];
    if (from !== undefined) {
      blocks.push({ instructions: [], predecessors: from.split(',').filter(Boolean).map(Number) });
      isInside = true;
    } else if (line.startsWith('}')) isInside = false;
    else if (isInside && /^\s+\S/.test(line)) {
      const instruction = line
        .replace(/\/\/.*$/, '')
        .replace(/^.* = /, '')
        .trim();
      blocks.at(-1)?.instructions.push(instruction);
    }
  }
  return blocks;
}

/** What a line of the final form does. */
export function classify(text: string): Instruction {
  const [name = ''] = text.replace(/^@\S+ /, '').split(' ', 1);
  const shape = /^hmma\.m(\d+)n(\d+)k(\d+)/.exec(name);
  if (shape) return { kind: 'matrix', fmas: Number(shape[1]) * Number(shape[2]) * Number(shape[3]) };
  if (/^ffma\b/.test(name)) return { kind: 'fma', count: 1 };
  if (/^hfma2\b/.test(name)) return { kind: 'fma', count: 2 };
  if (/^(ld|st|atom)\.shared/.test(name)) return { kind: 'workgroup', bytes: bytesOf(name) };
  // each lane of a subgroup gets 4 bytes of every 8x8 matrix
  if (name.startsWith('ldsm')) return { kind: 'workgroup', bytes: 4 * Number(/\.x(\d)/.exec(name)?.[1] ?? 1) };
  if (/^(ld|st|atom)\.global/.test(name)) return { kind: 'global', bytes: bytesOf(name) };
  return { kind: /^(ld|st)\.local/.test(name) ? 'scratch' : 'other' };
}

const bytesOf = (name: string): number => Number(/\.[biuf](8|16|32|64|128)\b/.exec(name)?.[1] ?? 32) / 8;
