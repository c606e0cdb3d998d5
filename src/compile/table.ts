/** The figures of compiled kernels as text: one table a GPU. */
import type { CompiledKernel } from './compile.js';
import type { InstructionCounts } from './instructions.js';
import type { Roofline } from './roofline.js';
import type { Statistics } from './statistics.js';

export const TABLE_HEAD = [
  'kernel',
  'variant',
  'registers',
  'spills',
  'scratch',
  'workgroup memory',
  'at once',
  'instructions',
  'cycles',
  'hot loop',
  'multiply-adds',
  'others a matrix',
  'workgroup bytes',
  'of peak at most',
] as const;

const NONE = '–';
const shown = (value: number | string | undefined): string => (value === undefined ? NONE : String(value));

/** Returns the row of a kernel. */
export function tableRows({ label, variant, statistics = {}, roofline, othersPerMatrix }: CompiledKernel): string[] {
  const { registers, spills, scratchBytes, workgroupBytes, occupancy, instructions, cycles, hotLoop } = statistics;
  return [
    label,
    variant,
    ...[registers, spills, scratchBytes, workgroupBytes, occupancy, instructions, cycles].map(shown),
    shown(hotLoop?.instructions),
    showShare(hotLoop),
    shown(othersPerMatrix?.toFixed(1)),
    shown(hotLoop?.workgroupBytes),
    showRoofline(roofline),
  ];
}

/** Shows the share of a hot loop's instructions that multiply and add. */
export function showShare(loop: InstructionCounts | undefined): string {
  if (!loop) return NONE;
  const { usefulInstructions, matrixFmas, instructions } = loop;
  return `${Math.round((100 * usefulInstructions) / instructions)}%${matrixFmas > 0 ? ' matrices' : ''}`;
}

export function showRoofline(roofline: Roofline | undefined): string {
  if (!roofline) return NONE;
  const share = `${Math.round(100 * roofline.share)}%`;
  if (roofline.of !== 'copy') return `${share}, ${roofline.boundBy}`;
  return roofline.boundBy === 'memory' ? `${share} of a copy` : `${share} of a copy, ${roofline.boundBy}`;
}

/** Whether a kernel keeps registers in memory; where a driver counts no spills, its scratch memory tells. */
export const spilling = ({ statistics: { spills, scratchBytes = 0 } = {} }: CompiledKernel): boolean =>
  (spills ?? scratchBytes) > 0;

/** Returns why a kernel could not be compiled, in a line. */
export const failureOf = ({ failure }: CompiledKernel): string | undefined => failure?.split('\n')[0];

const FIGURES: Readonly<Record<string, keyof Statistics>> = {
  registers: 'registers',
  spills: 'spills',
  scratch: 'scratchBytes',
  'workgroup memory': 'workgroupBytes',
  occupancy: 'occupancy',
  instructions: 'instructions',
  cycles: 'cycles',
  'the hot loop': 'hotLoop',
};

/** Names what the driver printed of no kernel. */
export function missingFigures(kernels: readonly CompiledKernel[]): string {
  const missing = Object.entries(FIGURES).filter(([, key]) =>
    kernels.every(({ statistics }) => statistics?.[key] === undefined),
  );
  return missing.map(([name]) => name).join(', ');
}
