/** Reads RADV_DEBUG=shaders,shaderstats: the table of statistics, and the disassembly with its encoding. */
import { countHotLoop } from './hot-loop.js';
import { type Block, countWhole, type Instruction } from './instructions.js';
import { namedNumbers } from './log.js';
import type { Statistics } from './statistics.js';

/** The statistics of RADV; undefined where there are none. */
export function readAmd(log: string): Statistics | undefined {
  const numbers = namedNumbers(log.slice(Math.max(0, log.lastIndexOf('*** SHADER STATS ***'))));
  if (!numbers.has('VGPRs')) return undefined;
  const blocks = disassembly(log);
  return {
    registers: numbers.get('VGPRs'),
    spills: numbers.get('Spilled VGPRs'),
    scratchBytes: numbers.get('Scratch size'),
    workgroupBytes: numbers.get('LDS size'),
    occupancy: numbers.get('Subgroups per SIMD'),
    instructions: numbers.get('Instructions'),
    cycles: numbers.get('Inverse Throughput'),
    lanes: namedNumbers(log).get('api_subgroup_size'),
    hotLoop: countHotLoop(blocks, classify),
    whole: countWhole(blocks, classify),
  };
}

/** Only the disassembly has the encoding of an instruction behind it; the compiler's own listing before it does not. */
function disassembly(log: string): Block[] {
  const blocks: Block[] = [{ instructions: [], predecessors: [] }];
  const numbers = new Map<string, number>();
  for (const line of log.split('\n')) {
    const label = /^(BB\d+):?\s*$/.exec(line)?.[1];
    if (label) {
      numbers.set(label, blocks.length);
      blocks.push({ instructions: [], predecessors: [] });
    }
    const instruction = /^\s+([a-z]\w+(?: [^;]*)?);(?: [0-9a-f]{8})+\s*$/.exec(line)?.[1]?.trim();
    if (instruction) blocks.at(-1)!.instructions.push(instruction);
  }
  for (const [number, { instructions }] of blocks.entries()) {
    for (const instruction of instructions) {
      const target = /^s_c?branch\w* (BB\d+)/.exec(instruction)?.[1];
      if (target) blocks[numbers.get(target)!]!.predecessors.push(number);
    }
    const isLeft = /^s_(branch|endpgm|setpc)/.test(instructions.at(-1) ?? '');
    if (!isLeft) blocks[number + 1]?.predecessors.push(number);
  }
  return blocks;
}

const MULTIPLY_ADD = /\bv_(dual_|pk_)?(fma|fmac|mad|mac|fmaak|fmamk)(_mix\w*)?_(f32|f16|legacy_f32)/g;

/** What a line of AMD's ISA does. */
export function classify(text: string): Instruction {
  const name = text.split(' ', 1)[0]!;
  if (/^v_(s?wmma|mfma)/.test(name)) return { kind: 'matrix', fmas: product(name) };
  if (name.startsWith('v_')) {
    const adds = [...text.matchAll(MULTIPLY_ADD)].reduce((sum, [, how]) => sum + (how === 'pk_' ? 2 : 1), 0);
    return adds > 0 ? { kind: 'fma', count: adds } : { kind: 'other' };
  }
  // registers are also spilled to workgroup memory, which no kernel addresses by thread in this way
  if (/^ds_\w+_addtid/.test(name)) return { kind: 'scratch' };
  if (name.startsWith('ds_')) return { kind: 'workgroup', bytes: bytesOf(name) };
  if (name.startsWith('scratch_')) return { kind: 'scratch' };
  if (/^(global|buffer|flat)_(load|store)/.test(name)) return { kind: 'global', bytes: bytesOf(name) };
  return { kind: 'free' };
}

/** The multiply-adds of `v_wmma_f32_16x16x16_f16`. */
const product = (name: string): number =>
  (/(\d+)x(\d+)x(\d+)/.exec(name) ?? []).slice(1).reduce((all, size) => all * Number(size), 1);

/** The bytes of a lane: `b128`, `dwordx4`, `ushort`; `2addr` and `read2` take two. */
function bytesOf(name: string): number {
  const times = /_2addr|(read|write)2/.test(name) ? 2 : 1;
  const bits = /_[biu](8|16|32|64|96|128)\b/.exec(name)?.[1];
  if (bits) return (times * Number(bits)) / 8;
  const words = /dwordx(\d)/.exec(name)?.[1];
  if (words) return 4 * Number(words);
  return /short|d16/.test(name) ? 2 : /byte/.test(name) ? 1 : 4 * times;
}
