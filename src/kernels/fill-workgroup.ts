/** Workgroup memory filled with a pattern, so that a kernel that reads what it has not written shows it. */
import type { AdapterDescription } from '../gpu/adapters.js';
import { type KernelCall, kernelCall, type Operand } from './call.js';

/** Fills the workgroup memory of `workgroups` workgroups with the word `pattern`; `sink` [1] takes a word of it. */
export function fillWorkgroup(
  { limits }: AdapterDescription,
  pattern: number,
  workgroups: number,
  { sink }: Record<'sink', Operand>,
): KernelCall {
  return kernelCall('fill_workgroup', {
    constants: {
      WORDS: limits.maxComputeWorkgroupStorageSize! / 4,
      WORKGROUP: Math.min(128, limits.maxComputeInvocationsPerWorkgroup!),
    },
    operands: { sink },
    params: { pattern },
    workgroups: [workgroups, 1, 1],
  });
}
