/** Prints the times of `profile`. */
import type { KernelTime, Profile } from '../profile/profile.js';
import type { Profiled } from '../profile/subject.js';
import { percent } from '../report/words.js';
import type { CommandResult, Terminal } from './command.js';
import { textTable } from './table.js';

/** Returns three significant digits, or the whole number. */
const figures = (value: number): string => (Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(3));

const UNITS = { flops: 'GFLOP/s', bytes: 'GB/s' } as const;

const kernelRow = ({ label, calls, milliseconds, share, rate }: KernelTime): string[] => [
  label,
  String(calls),
  figures(milliseconds),
  `${(100 * share).toFixed(1)}%`,
  rate ? `${figures(rate.perSecond / 1e9)} ${UNITS[rate.of]}` : '',
  rate ? percent(rate.ofCeiling) : '',
];

const NAMES = { step: 'a step', eval: 'an evaluation', decode: 'a step of decoding' } as const;

export function showProfile(terminal: Terminal, found: Profile, { what, settings }: Profiled): CommandResult {
  const { replay: _, ...told } = found;
  const { kernels, ceilings, gpuMilliseconds, wallMilliseconds, hostMilliseconds, tokensPerSecond } = told;
  terminal.print(textTable(['kernel', 'calls', 'ms', 'share', 'rate', 'of ceiling'], kernels.map(kernelRow)));
  const calls = kernels.reduce((sum, kernel) => sum + kernel.calls, 0);
  const { B, T, microBatches } = settings;
  const batch = what === 'step' && microBatches > 1 ? `${microBatches} x ${B} x ${T}` : `${B} x ${T}`;
  const name =
    what === 'decode' ? `${NAMES[what]} (${B} sequences at ${T} tokens)` : `${NAMES[what]} (${batch} tokens)`;
  terminal.print(
    `${name}: ${figures(wallMilliseconds)} ms, ${figures(tokensPerSecond)} tokens/s; ` +
      `GPU ${figures(gpuMilliseconds)} ms in ${calls} kernels, the rest ${figures(hostMilliseconds)} ms`,
  );
  terminal.print(
    `ceilings: ${figures(ceilings.flopsPerSecond / 1e9)} GFLOP/s of f32 multiply-adds, ` +
      `${figures(ceilings.bytesPerSecond / 1e9)} GB/s of a copy`,
  );
  return told;
}
